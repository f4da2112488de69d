"""Tests of the router, with real servers and scripted workers."""
