"""The warehouse: a DuckDB file or a Postgres database, and how each is opened. Loads can go to other databases, too.

DuckDB lets one process write, or many read; Postgres takes many of both.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dlt
import duckdb as duckdb_driver
import psycopg2

from pipelines.errors import SettingsError
from pipelines.files import full_path
from pipelines.warehouse import duckdb, postgres

DATASET = "raw"
ENGINES = ("duckdb", "postgres")  # these have models, a published copy and a report
Execute = Callable[[str], list[Any]]


@dataclass(frozen=True)
class Target:
    """Where to load: a DuckDB file, a Postgres URL, or a dlt destination by its name, whose settings are dlt's own.

    The credentials are not shown, because they may hold a password.
    """

    engine: str
    credentials: str = ""

    def __repr__(self) -> str:
        return f"Target({self.engine})"

    @property
    def path(self) -> Path:
        """The DuckDB file."""
        return Path(self.credentials)

    @property
    def shown(self) -> str:
        """What to call it in a message."""
        if self.engine == "duckdb":
            return self.path.name
        return "the Postgres warehouse" if self.engine == "postgres" else f"the destination {self.engine}"


def read_target(engine: str) -> Target:
    """The warehouse by dlt's own settings: `destination.<engine>.credentials`. Raises `SettingsError`."""
    if engine not in ENGINES:
        return Target(engine)
    credentials: Any = dlt.secrets.get(f"destination.{engine}.credentials")
    credentials = credentials or dlt.config.get(f"destination.{engine}.credentials")
    if engine == "duckdb":
        path = full_path(str(credentials or "warehouse.duckdb").removeprefix("duckdb:///"))
        duckdb.check_path(path)
        return Target(engine, str(path))
    if not credentials:
        raise SettingsError(
            'The Postgres warehouse has no address. Set credentials = "postgresql://…" in [destination.postgres] of '
            ".dlt/secrets.toml, or DESTINATION__POSTGRES__CREDENTIALS."
        )
    postgres.parse_url(str(credentials))
    return Target(engine, str(credentials))


@contextmanager
def open_for_writing(target: Target) -> Iterator[None]:
    """Holds a DuckDB file open, so nobody else can lock it while a run spends budget. The others lock nobody out.

    Raises `WarehouseLocked` or `SettingsError`.
    """
    with duckdb.open_for_writing(target.path) if target.engine == "duckdb" else nullcontext():
        yield


@contextmanager
def hold_account(account: str, target: Target) -> Iterator[None]:
    """One load of an account at a time, whatever hosts share a Postgres. A DuckDB file has one writer anyway.

    Raises `AlreadyRunning`. Other destinations have no such lock.
    """
    with postgres.hold_account(target.credentials, account) if target.engine == "postgres" else nullcontext():
        yield


@contextmanager
def connected(target: Target) -> Iterator[Execute]:
    """A function that runs one statement and returns its rows; all of them are one transaction."""
    connection: Any = (duckdb_driver if target.engine == "duckdb" else psycopg2).connect(target.credentials)
    try:
        cursor = connection.cursor()
        if target.engine == "duckdb":
            cursor.execute("begin")  # psycopg2 does so by itself

        def execute(statement: str) -> list[Any]:
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []

        yield execute
        cursor.execute("commit")
    finally:
        connection.close()


def create_missing(target: Target, schema: str, tables: Mapping[str, Mapping[str, str]]) -> None:
    """Makes each table that is not there yet, empty; `tables` gives the SQL type of each column by table."""
    with connected(target) as execute:
        execute(f"create schema if not exists {schema}")
        for table, columns in tables.items():
            definitions = ", ".join(f"{name} {kind}" for name, kind in columns.items())
            execute(f"create table if not exists {schema}.{table} ({definitions})")
