"""Carrying blocks between pools, and who may still write where."""
