"""Single parts measured against the ceilings of the machine, in the same run."""
