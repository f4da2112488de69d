"""Real processes killed, frozen and starved."""
