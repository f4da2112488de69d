"""What rules for routes make of loads, in virtual time."""
