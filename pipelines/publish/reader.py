"""Reads the published marts: the readers' file on DuckDB, the schema `marts` on Postgres. Never the warehouse file."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import duckdb
import psycopg2

from pipelines.errors import CallsError
from pipelines.publish import published_folder
from pipelines.publish.duckdb import FILE
from pipelines.warehouse import Target, postgres

Row = dict[str, Any]
Query = Callable[[str], list[Row]]
STALE_AFTER = timedelta(days=1)  # at least one night was missed


class NothingPublished(CallsError):
    """There is no readers' copy yet."""


class CopyUnreadable(CallsError):
    """There is a readers' copy, but it is damaged or written by another version."""


@contextmanager
def open_marts(target: Target) -> Iterator[Query]:
    """A function that runs a query and returns rows as dicts, instants in UTC.

    Raises `NothingPublished`, `CopyUnreadable`, or `SettingsError` if Postgres does not answer.
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
        raise _nothing_published("there are no marts yet") from None
    except (duckdb.Error, psycopg2.Error) as error:  # the original text may quote rows
        raise CopyUnreadable(
            f"The published marts cannot be read ({type(error).__name__}); another version may have written them. "
            "Build and publish them again: calls build, then calls publish."
        ) from None
    finally:
        connection.close()


def _connect(target: Target) -> Any:
    if target.engine == "postgres":
        return postgres.connect(target.credentials)
    path = published_folder(target) / FILE
    if not path.exists():
        raise _nothing_published(f"there is no {path}")
    try:
        return duckdb.connect(str(path), read_only=True)
    except duckdb.Error as error:
        raise CopyUnreadable(
            f"{path} cannot be opened ({type(error).__name__}). Publish it again: calls publish."
        ) from None


def _nothing_published(why: str) -> NothingPublished:
    return NothingPublished(
        f"Nothing has been published yet: {why}. calls run loads, builds and publishes. If your warehouse is another "
        "one, run in its folder or name it by --destination."
    )
