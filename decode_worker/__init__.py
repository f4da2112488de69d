"""Fetches KV, keeps the running batch, streams step frames."""
