"""Warehouses for the marts' test: raw tables filled fast, models built by a copy of the project with its own seeds."""

import csv
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from string import Template
from typing import Any

import duckdb
import psycopg2
import pyarrow as pa
from pyarrow import csv as arrow_csv

from pipelines.transform import create_missing_raw
from pipelines.voipcloud.schemas import SQL_TABLES
from tests.support.marts_truth.calls import Seeds
from tests.support.marts_truth.records import Raw
from tests.support.models_warehouses import Warehouse, statements

HERE = Path(__file__).parents[3]
INSTANT = "timestamp with time zone"
TYPES = {
    "text": pa.string(),
    INSTANT: pa.timestamp("us", "UTC"),
    "bigint": pa.int64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
}
COLUMNS = Template(
    "select column_name, lower(data_type) from information_schema.columns"
    " where table_schema = 'marts' and table_name = '$mart' order by column_name"
)
ROWS = Template("select $columns from marts.$mart")
EMPTY = Template("delete from raw.$table")
FILL = Template("insert into raw.$table ($columns) select $columns from filling")
COPY = Template("copy raw.$table ($columns) from stdin (format csv)")
BUILD = """
import sys
from pathlib import Path
import pipelines
from pipelines.transform import build_models, run_dbt
from pipelines.warehouse import Target
assert Path(pipelines.__file__).is_relative_to(Path.cwd()), pipelines.__file__
engine, credentials, work_dir, *arguments = sys.argv[1:]
warehouse, work_dir = Target(engine, credentials), Path(work_dir)
run_dbt(warehouse, work_dir, arguments) if arguments else build_models(warehouse, work_dir)
"""
SEEDS = {
    "queue_targets": """account,queue_name,target_seconds,target_rate,short_abandon_seconds
*,*,20,0.8,5
sydney,Support,30,0.8,10
*,Reception,10,0.9,2
dubai,*,60,0.7,3
dubai,Reception,15,0.7,0
""",
    "opening_hours": """account,queue_name,weekday,opens,closes
*,*,*,00:00,24:00
sydney,Support,1,08:30,12:00
sydney,Support,1,13:00,17:30
sydney,Support,2,08:30,17:30
sydney,Support,3,08:30,17:30
sydney,Support,4,08:30,17:30
sydney,Support,5,08:30,17:31
newyork,*,*,09:00,17:00
berlin,Sales,6,10:00,14:00
""",
    "holidays": """account,holiday_date,holiday_name
*,2026-01-01,New Year's Day
berlin,2026-01-01,Neujahr
berlin,2025-12-26,2. Weihnachtstag
sydney,2026-01-26,Australia Day
""",
}


@dataclass(frozen=True)
class Mart:
    """A mart as one engine built it."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


def copy_project(folder: Path) -> Path:
    """The project as a user has it who has written seeds of their own."""
    for part in ("pipelines", "sql"):
        shutil.copytree(HERE / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in SEEDS.items():
        (folder / "sql" / "seeds" / f"{name}.csv").write_text(text)
    return folder


def read_seeds() -> Seeds:
    """The seeds that the copy has."""
    return Seeds(**{name: list(csv.DictReader(text.splitlines())) for name, text in SEEDS.items()})


def build(project: Path, warehouse: Warehouse, *arguments: str) -> None:
    """Build all models, or run dbt with `arguments`, in a process of its own that lives in a far-off time zone."""
    work_dir = project / f"work_{warehouse.engine}"
    command = [sys.executable, "-c", BUILD, warehouse.engine, warehouse.credentials, str(work_dir), *arguments]
    home = os.environ | {"TZ": "Pacific/Chatham"}
    ran = subprocess.run(command, cwd=project, env=home, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, f"{warehouse.engine}: {ran.stderr[-3000:]}"


def as_arrow(raw: Raw) -> dict[str, pa.Table]:
    """Rows as tables of the types that `raw` has."""
    return {
        table: pa.table({name: pa.array([row.get(name) for row in rows], TYPES[kind]) for name, kind in kinds.items()})
        for table, kinds in SQL_TABLES.items()
        if (rows := raw[table])
    }


def fill(warehouse: Warehouse, tables: Mapping[str, pa.Table]) -> None:
    """Replace all that `raw` holds."""
    create_missing_raw(warehouse)
    (fill_duckdb if warehouse.engine == "duckdb" else fill_postgres)(warehouse.credentials, tables)


def fill_duckdb(path: str, tables: Mapping[str, pa.Table]) -> None:
    """Insert Arrow tables."""
    with duckdb.connect(path) as connection:
        for table, rows in tables.items():
            connection.execute(EMPTY.substitute(table=table))
            connection.register("filling", rows)
            connection.execute(FILL.substitute(table=table, columns=", ".join(rows.column_names)))
            connection.unregister("filling")


def fill_postgres(url: str, tables: Mapping[str, pa.Table]) -> None:
    """Copy CSV, in which an empty string is quoted and null is not; from now on sessions have a zone of their own."""
    connection = psycopg2.connect(url)
    cursor = connection.cursor()
    cursor.execute("select current_database()")
    ((database,),) = cursor.fetchall()
    cursor.execute(f"alter database {database} set timezone to 'Pacific/Chatham'")
    for table, rows in tables.items():
        cursor.execute(EMPTY.substitute(table=table))
        text = BytesIO()
        arrow_csv.write_csv(rows, text, arrow_csv.WriteOptions(include_header=False))
        text.seek(0)
        cursor.copy_expert(COPY.substitute(table=table, columns=", ".join(rows.column_names)), text)
    cursor.execute("analyze")
    connection.commit()
    connection.close()


def read_mart(warehouse: Warehouse, mart: str) -> Mart:
    """A table in `marts`, instants as naive UTC."""
    with statements(warehouse) as execute:
        kinds = execute(COLUMNS.substitute(mart=mart))
        read = [f"timezone('UTC', {name})" if kind == INSTANT else name for name, kind in kinds]
        rows = execute(ROWS.substitute(mart=mart, columns=", ".join(read)))
    return Mart(tuple(name for name, _ in kinds), rows)
