"""Tests of common/obs."""
