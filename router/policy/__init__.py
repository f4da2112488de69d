"""Where a request runs, decided purely from a snapshot of the fleet."""
