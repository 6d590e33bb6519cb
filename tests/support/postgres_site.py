"""Databases of a Postgres server that a module's tests share, and what is in them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg2
import pytest

from pipelines.voipcloud.schemas import ENDPOINTS
from tests.support.models_warehouses import Warehouse, empty_warehouse, statements
from tests.support.site import RAW, Site, as_stored, as_told, assert_days

# Columns that say when a run was, and not what it found.
RUN_TIMES = {
    "last_load_at",
    "freshness_seconds",
    "system_status_checked_at",
    "loaded_at",
    "first_published_at",
    "restated_at",
}


@contextmanager
def serve_postgres(folder: Path) -> Iterator[str]:
    """A server; its URL."""
    with empty_warehouse("postgres", folder) as warehouse:
        yield warehouse.credentials


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server for the tests of a module."""
    with serve_postgres(tmp_path_factory.mktemp("postgres")) as url:
        yield url


@pytest.fixture
def url(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new database, set as the destination."""
    fresh = new_database(server)
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", fresh)
    return fresh


def new_database(server: str) -> str:
    """A new database's URL."""
    name = f"night_{uuid4().hex}"
    ask(server, f"create database {name}")
    return server.replace("/postgres?", f"/{name}?")


def ask(url: str, *queries: str) -> list[tuple[Any, ...]]:
    """Runs statements, each committed by itself; the last one's rows."""
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        cursor = connection.cursor()
        for query in queries:
            cursor.execute(query)
        return list(cursor.fetchall()) if cursor.description else []
    finally:
        connection.close()


def read_raw(url: str, account: str = "main") -> dict[str, list[dict[str, Any]]]:
    """The rows of one account in every table of `raw`, by the table's name; instants in UTC."""
    found = {}
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("set TimeZone = 'UTC'")
        for table in RAW:
            cursor.execute(f"select * from raw.{table} where account = %s", [account])  # noqa: S608
            names = [column.name for column in cursor.description or ()]
            found[table] = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    connection.close()
    return found


def assert_truth_in(url: str, site: Site, accounts: Sequence[str] = ("main",)) -> None:
    """Postgres' `raw` holds every record of the PBX as often as the PBX does, in its day."""
    for account in accounts:
        raw = read_raw(url, account)
        for endpoint in ENDPOINTS:
            stored, truth = as_stored(endpoint, raw[endpoint]), as_told(endpoint, site.pbx.records(endpoint, account))
            missing, surplus = (truth - stored).total(), (stored - truth).total()
            assert not missing, f"{account}: {endpoint}: {missing} missing of {truth.total()}"
            assert not surplus, f"{account}: {endpoint}: {surplus} too many of {truth.total()}"
        assert_days(raw)


def read_marts(warehouse: Warehouse, *, only: str = "true") -> dict[str, list[tuple[Any, ...]]]:
    """Every mart's rows, sorted, without what differs from run to run."""
    found = {}
    with statements(warehouse) as execute:
        columns: dict[str, list[str]] = {}
        for mart, column in execute(
            "select table_name, column_name from information_schema.columns where table_schema = 'marts' order by 1, 2"
        ):
            if column not in RUN_TIMES:
                columns.setdefault(mart, []).append(column)
        for mart, names in columns.items():
            where = only if "account" in names else "true"
            rows = execute(f"select {', '.join(names)} from marts.{mart} where {where}")  # noqa: S608
            found[mart] = sorted((tuple(map(_comparable, row)) for row in rows), key=repr)
    return found


def _comparable(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 9)
    return value.isoformat() if hasattr(value, "isoformat") else value
