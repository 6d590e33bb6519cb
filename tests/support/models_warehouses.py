"""Empty warehouses for the tests of the models: a DuckDB file, or a new database of a Postgres server."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from string import Template
from typing import Any

import duckdb
import psycopg2

from pipelines.warehouse import Target
from tests.support.postgres_server import new_database

Warehouse = Target
MODELS_ALONE = ("build", "--exclude-resource-type", "test", "unit_test")  # with seeds: half the time of a whole build
MARTS = Path(__file__).parents[2] / "sql" / "models" / "marts"
COLUMNS = Template(
    "select column_name from information_schema.columns"
    " where table_schema = 'marts' and table_name = '$mart' order by column_name"
)
ROWS = Template("select $columns from marts.$mart")
Snapshot = dict[str, list[tuple[Any, ...]]]


def empty_warehouse(engine: str, folder: Path) -> Warehouse:
    """A file in `folder`, not made yet, or a new database of the process's Postgres."""
    return Warehouse(engine, str(folder / "warehouse.duckdb") if engine == "duckdb" else new_database())


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
