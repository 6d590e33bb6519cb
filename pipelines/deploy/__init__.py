"""Files for schedulers: systemd, containers, Airflow, Dagster. Nothing here runs unless one of them loads it."""
