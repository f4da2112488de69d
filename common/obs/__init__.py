"""What a process says of itself: logs, start-up phases, memory and device facts."""
