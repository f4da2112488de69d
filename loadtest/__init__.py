"""Load, simulation and measurement."""
