"""The hand-off as three pure state machines: router, lender, lander."""
