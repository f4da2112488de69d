"""Tests of the random constraints and of those who judge them."""
