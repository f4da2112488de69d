"""What is deployed, as far as it can be told without an engine, and with one where there is one."""
