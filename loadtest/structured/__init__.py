"""Random constraints by the thousand, each answered by a model that says anything, and judged by somebody else."""
