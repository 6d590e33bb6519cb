"""Reads the published marts: the readers' file on DuckDB, schema `marts` on Postgres. Never the private warehouse."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import duckdb
import psycopg2

from pipelines.errors import CallsError
from pipelines.publish import published_folder
from pipelines.warehouse import Target, postgres

Row = dict[str, Any]
Query = Callable[[str], list[Row]]
STALE_AFTER = timedelta(days=1)  # a night was missed


class NothingPublished(CallsError):
    """There is no readers' copy yet."""


class CopyUnreadable(CallsError):
    """There is one, but it cannot be read: broken, or another version's."""


@contextmanager
def open_marts(target: Target) -> Iterator[Query]:
    """A function that answers a query with rows as dicts, instants in UTC.

    Raises `NothingPublished`, `CopyUnreadable`, or `SettingsError` where no Postgres answers.
    """
    connection = _connect(target)
    try:
        cursor = connection.cursor()
        cursor.execute("set TimeZone = 'UTC'")

        def query(sql: str) -> list[Row]:
            cursor.execute(sql)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

        yield query
    except (duckdb.CatalogException, psycopg2.errors.UndefinedTable, psycopg2.errors.InvalidSchemaName):
        raise _nothing("there are no marts yet") from None
    except (duckdb.Error, psycopg2.Error) as error:  # its own text may quote rows
        raise CopyUnreadable(
            f"The published marts cannot be read ({type(error).__name__}): they may be another version's. "
            "Build and publish them again: calls build, then calls publish."
        ) from None
    finally:
        connection.close()


def _connect(target: Target) -> Any:
    if target.engine == "postgres":
        return postgres.connect(target.credentials)
    path = published_folder(target) / "calls.duckdb"
    if not path.exists():
        raise _nothing(f"there is no {path}")
    try:
        return duckdb.connect(str(path), read_only=True)
    except duckdb.Error as error:
        raise CopyUnreadable(
            f"{path} cannot be opened ({type(error).__name__}). Publish it again: calls publish."
        ) from None


def _nothing(why: str) -> NothingPublished:
    return NothingPublished(
        f"Nothing has been published yet: {why}. calls run loads, builds and publishes; if the warehouse is another, "
        "run in its folder or name it by --destination."
    )
