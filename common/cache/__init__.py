"""KV blocks: who owns which (numbers only), which prefix is where, and the bytes themselves."""
