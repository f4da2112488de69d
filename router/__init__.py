"""Admits, tokenizes, routes, relays, retries. Imports neither torch nor triton."""
