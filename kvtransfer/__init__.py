"""Carries KV blocks between workers: transports, and the hand-off's state machines."""
