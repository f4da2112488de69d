"""Ways to move blocks: one contract, several carriers."""
