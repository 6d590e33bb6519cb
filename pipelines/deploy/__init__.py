"""Files for schedulers: systemd and containers. Nothing here runs unless one of them loads it."""
