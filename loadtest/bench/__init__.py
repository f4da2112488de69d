"""Load on a running server and what it made of it: `baton bench`."""
