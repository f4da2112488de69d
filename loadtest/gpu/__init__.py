"""One command for a machine with a CUDA device: what is right on it, and how fast, against ceilings read in the run."""
