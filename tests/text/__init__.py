"""Tests of common/text."""
