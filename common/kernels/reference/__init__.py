"""The torch truth of every op, and what serves where nothing faster is built."""
