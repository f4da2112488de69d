"""The HTTP front over a real router, with fake workers or a tiny model."""
