"""A fleet without computers: the real hand-off machines and block pools, under every order or any seed of faults."""
