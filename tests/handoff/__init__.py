"""The hand-off's three machines, one by one and together."""
