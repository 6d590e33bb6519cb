"""Reads the published marts: the readers' file on DuckDB, schema `marts` on Postgres. Never the private warehouse."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
import psycopg2

from pipelines.errors import CallsError, SettingsWrong
from pipelines.publishing import published_folder
from pipelines.warehouse import Target

Row = dict[str, Any]
Query = Callable[[str], list[Row]]
COMMENTS = {
    "duckdb": """
        select table_name as mart, column_name as name, comment
        from duckdb_columns() where schema_name = 'marts' and comment is not null""",
    "postgres": """
        select c.relname as mart, a.attname as name, col_description(c.oid, a.attnum) as comment
        from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        where c.relnamespace = 'marts'::regnamespace and col_description(c.oid, a.attnum) is not null""",
}
# Every build makes this table anew, so its identity on Postgres tells one night from the next.
NIGHT = "select cast('marts.load_health'::regclass::oid as text) as night"


class NothingToReport(CallsError):
    """There is no published copy, or it lacks what the report reads."""


@contextmanager
def open_marts(target: Target) -> Iterator[Query]:
    """A function that answers a query with rows as dicts, instants in UTC. Raises `NothingToReport`."""
    connection = _connect(target)
    try:
        cursor = connection.cursor()
        cursor.execute("set TimeZone = 'UTC'")

        def query(sql: str) -> list[Row]:
            cursor.execute(sql)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

        yield query
    except (duckdb.Error, psycopg2.Error) as error:  # its own text may quote rows
        raise NothingToReport(
            f"The published marts cannot be read ({type(error).__name__}): they may be another version's. "
            "Build and publish them again: calls build && calls publish."
        ) from None
    finally:
        connection.close()


def read_definitions(query: Query, target: Target) -> dict[str, str]:
    """How each column is computed, by `mart.column`, in the models' own words."""
    return {f"{row['mart']}.{row['name']}": row["comment"] for row in query(COMMENTS[target.engine])}


def published_night(target: Target) -> str:
    """What changes whenever a new night is published; empty where nothing is."""
    if target.engine == "duckdb":
        try:
            found = os.stat(published_folder(target) / "calls.duckdb")
        except FileNotFoundError:
            return ""
        return f"{found.st_ino}-{found.st_mtime_ns}"
    with open_marts(target) as query:
        return str(query(NIGHT)[0]["night"])


def _connect(target: Target) -> Any:
    if target.engine == "postgres":
        try:
            return psycopg2.connect(target.credentials)
        except psycopg2.OperationalError as error:
            raise SettingsWrong(f"The Postgres warehouse cannot be reached ({type(error).__name__}).") from None
    path = published_folder(target) / "calls.duckdb"
    if not path.exists():
        raise NothingToReport(
            f"Nothing has been published yet: there is no {path.name}. Run: calls build, calls publish."
        )
    try:
        return duckdb.connect(str(path), read_only=True)
    except duckdb.Error as error:
        raise NothingToReport(
            f"The published {path.name} cannot be opened ({type(error).__name__}). Publish it again: calls publish."
        ) from None
