"""Tests of common/net."""
