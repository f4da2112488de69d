"""Tool calls in a model's text: the format its template teaches, reading them from a stream, forcing them."""
