"""One transaction in the warehouse, for what dbt does not do: raw tables, row counts, and how the last build ended."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
import psycopg2

from pipelines.warehouse import Target

Execute = Callable[[str], list[Any]]


@contextmanager
def connected(target: Target) -> Iterator[Execute]:
    """A function that runs one statement and returns its rows. All statements together are one transaction."""
    connection: Any = (duckdb if target.engine == "duckdb" else psycopg2).connect(target.credentials)
    try:
        cursor = connection.cursor()
        if target.engine == "duckdb":
            cursor.execute("begin")  # psycopg2 begins by itself

        def execute(statement: str) -> list[Any]:
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []

        yield execute
        cursor.execute("commit")
    finally:
        connection.close()
