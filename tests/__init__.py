"""Mirrors the folders; plus house rules, faults and whole-system tests."""
