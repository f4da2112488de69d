"""Baton beside other servers: the same machine, model and load, taken in turns."""
