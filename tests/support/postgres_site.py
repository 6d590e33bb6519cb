"""A Postgres database as the destination of a site, and what is in it."""

from collections.abc import Sequence
from typing import Any

import psycopg2
import pytest

from pipelines.voipcloud.schemas import ENDPOINTS
from tests.support.models_warehouses import Warehouse, statements
from tests.support.postgres_server import new_database
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


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> str:
    """A new database, set as the destination."""
    fresh = new_database()
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", fresh)
    return fresh


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
