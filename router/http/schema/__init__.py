"""What clients may send: one model per body, the one source of validation, OpenAPI and the compatibility table."""
