"""Near lines: unix sockets over which two workers of one host say what a hand-off waits for."""
