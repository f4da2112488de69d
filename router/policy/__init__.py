"""Routing decisions as pure functions over a snapshot."""
