"""The types every floor speaks."""
