"""What `make gpu` is made of, over stand-ins; and what only a CUDA device can show, skipped where there is none."""
