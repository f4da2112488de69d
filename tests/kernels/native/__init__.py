"""The compiled kernels against their references."""
