"""Frozen messages, errors, configuration: what every floor speaks. Standard library only."""
