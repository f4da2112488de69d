"""One op per file; `reference` holds the torch truth of each."""
