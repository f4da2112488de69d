"""Tests of the routing policy: tables and properties."""
