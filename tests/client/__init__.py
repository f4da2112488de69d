"""The client against a real server with scripted services."""
