"""What a rule for routes makes of a load: the production policy and schedulers on virtual time."""
