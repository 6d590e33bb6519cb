"""Replaces dbt's flags while sqlfluff renders the models."""

FULL_REFRESH = False
