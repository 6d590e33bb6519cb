"""Builds and tests `sql/` with dbt, in this process, against DuckDB or Postgres.

Data flow: raw tables → `dbt build` (staging, intermediate, marts, each followed by its tests) → a `ModelResult` each.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any, Protocol

import duckdb
import psycopg2
from psycopg2.extensions import parse_dsn

from pipelines.errors import CallsError
from pipelines.files import replace_private
from pipelines.voipcloud.schemas import SCHEMAS, sql_columns
from pipelines.warehouse.postgres import PLANNER_OPTIONS

PROJECT = Path(__file__).parent.parent.parent / "sql"
# Of a Postgres URL, what dbt's profile has no place for reaches the driver this way.
LIBPQ_VARIABLES = {
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "channel_binding": "PGCHANNELBINDING",
}


class ModelsFailed(CallsError):
    """A model could not be built, or a test on it did not hold; nothing should be published."""


class Warehouse(Protocol):
    """Where the tables are: `credentials` is a file's path for DuckDB, a URL for Postgres."""

    @property
    def engine(self) -> str: ...
    @property
    def credentials(self) -> str: ...


@dataclass(frozen=True)
class ModelResult:
    """One model after a build: the rows it holds now (None for a view), how long it took, how its tests went.

    A test that failed and was not told to stop the build (dbt's severity `warn`) is in `tests_failed`.
    """

    model: str
    rows: int | None
    seconds: float
    tests_passed: int
    tests_failed: int


Progress = Callable[[str, int, int], None]
Execute = Callable[[str], list[Any]]


def build_models(
    target: Warehouse,
    work_dir: Path,
    *,
    full_refresh: bool = False,
    on_progress: Progress | None = None,
) -> list[ModelResult]:
    """Build every model over what was loaded since the last whole build, and run their data tests.

    `work_dir` receives dbt's `target/` and `logs/`. `on_progress` is called with (node, done, total) as each node ends.
    Everything is built anew when `full_refresh`, or when a file of the project has changed since. Raises
    `ModelsFailed`, naming models and tests.
    """
    create_missing_raw(target)
    fingerprint = _project_fingerprint()
    arguments = ["build", "--exclude-resource-type", "unit_test"]
    if full_refresh or _built_fingerprint(target) != fingerprint:
        arguments.append("--full-refresh")
    results = run_dbt(target, work_dir, arguments, on_progress=on_progress)
    return _model_results(target, results)


def check_definitions(target: Warehouse, work_dir: Path) -> int:
    """Run the unit tests that pin the definitions, on a warehouse built before; their number. Raises `ModelsFailed`."""
    return len(run_dbt(target, work_dir, ["test", "--select", "test_type:unit"]))


def build_docs(target: Warehouse, work_dir: Path, folder: Path) -> Path:
    """Write dbt's documentation, lineage included, as one file in `folder`, the user's alone; its path.

    Columns' types and tables' sizes are the warehouse's. Raises `ModelsFailed`, also where nothing was built yet.
    """
    if _built_fingerprint(target) is None:
        raise ModelsFailed("There is nothing to describe yet. Build the models first: calls build.")
    run_dbt(target, work_dir, ["docs", "generate", "--static"])
    page = folder / "docs.html"
    told = (work_dir / "target" / "static_index.html").read_text(encoding="utf-8")
    for place, name in ((work_dir, "dbt"), (PROJECT, "sql")):  # whoever gets the page need not learn where it was made
        told = told.replace(json.dumps(str(place))[1:-1], name)
    replace_private(page, told)
    return page


def create_missing_raw(target: Warehouse) -> None:
    """Create, empty, each raw table that no load has needed yet, so that every model has something to read."""
    with connected(target) as execute:
        execute("create schema if not exists raw")
        for table in SCHEMAS:
            definitions = ", ".join(f"{name} {kind}" for name, kind in sql_columns(table).items())
            execute(f"create table if not exists raw.{table} ({definitions})")


def run_dbt(
    target: Warehouse,
    work_dir: Path,
    arguments: Sequence[str],
    *,
    on_progress: Progress | None = None,
) -> list[Any]:
    """Run one dbt command in this process; its node results. Raises `ModelsFailed`."""
    log_dir = work_dir / "logs"
    options = {
        "--project-dir": PROJECT,
        "--profiles-dir": PROJECT,
        "--target-path": work_dir / "target",
        "--log-path": log_dir,
        "--log-level": "none",
        "--log-level-file": "debug",
        "--vars": f"{{project_fingerprint: {_project_fingerprint()}}}",
    }
    flags = [
        "--quiet",
        *([] if "docs" in arguments else ["--no-write-json"]),  # nobody reads it, and writing takes most of a second
        "--no-use-colors",
        "--no-use-colors-file",
        "--no-send-anonymous-usage-stats",
        "--no-version-check",
    ]
    from pipelines.transform.dbt import invoke  # noqa: PLC0415 -- it takes a second, which most commands need not wait for

    words = [*arguments, *flags, *(str(word) for option in options.items() for word in option)]
    outcome = invoke(words, _profile_variables(target), on_progress)
    if outcome.exception is not None:
        raise ModelsFailed(f"dbt could not run: {outcome.exception}. See {log_dir / 'dbt.log'}.")
    results = list(getattr(outcome.result, "results", []))
    failed = [result.node.name for result in results if result.status in {"error", "fail", "runtime error"}]
    if failed:
        named = ", ".join(failed[:5]) + (f" and {len(failed) - 5} more" if len(failed) > 5 else "")
        raise ModelsFailed(f"{named} failed; what was published before stays. See {log_dir / 'dbt.log'}.")
    return results


def _model_results(target: Warehouse, results: list[Any]) -> list[ModelResult]:
    tests: Counter[tuple[str, bool]] = Counter()
    for result in results:
        if result.node.resource_type == "test":
            tested = getattr(result.node, "attached_node", None) or result.node.depends_on.nodes[-1]
            tests[tested.split(".")[-1], result.status == "pass"] += 1
    with connected(target) as execute:
        return [
            ModelResult(
                model=result.node.name,
                rows=_count_rows(execute, result.node),
                seconds=result.execution_time,
                tests_passed=tests[result.node.name, True],
                tests_failed=tests[result.node.name, False],
            )
            for result in results
            if result.node.resource_type in {"model", "seed"}
        ]


def _count_rows(execute: Execute, node: Any) -> int | None:
    if node.config.materialized == "view":
        return None
    rows = execute(Template("select count(*) from $schema.$name").substitute(schema=node.schema, name=node.name))
    return int(rows[0][0])


def _built_fingerprint(target: Warehouse) -> str | None:
    """The project's fingerprint at the last whole build; None before the first."""
    with connected(target) as execute:
        if not execute(
            "select 1 from information_schema.tables"
            " where table_schema = 'intermediate' and table_name = 'int_days__built'"
        ):
            return None
        rows = execute("select min(project_fingerprint) from intermediate.int_days__built")
        return None if rows[0][0] is None else str(rows[0][0])


def _project_fingerprint() -> str:
    digest = hashlib.sha256()
    for path in sorted(PROJECT.rglob("*")):
        if path.suffix in {".sql", ".csv", ".yml"}:
            digest.update(f"{path.relative_to(PROJECT)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _profile_variables(target: Warehouse) -> dict[str, str]:
    """What sql/profiles.yml reads; a password only ever travels in a variable that dbt keeps out of its logs."""
    if target.engine == "duckdb":
        return {"CALLS_DBT_TARGET": "duckdb", "CALLS_DBT_DUCKDB_PATH": target.credentials}
    parts = parse_dsn(target.credentials)
    return {
        "CALLS_DBT_TARGET": "postgres",
        "CALLS_DBT_POSTGRES_HOST": parts.get("host", "localhost"),
        "CALLS_DBT_POSTGRES_PORT": parts.get("port", "5432"),
        "CALLS_DBT_POSTGRES_USER": parts.get("user", ""),
        "DBT_ENV_SECRET_CALLS_POSTGRES": parts.get("password", ""),
        "CALLS_DBT_POSTGRES_DBNAME": parts.get("dbname", ""),
        "PGOPTIONS": f"{PLANNER_OPTIONS} {parts.get('options', '')}".strip(),
    } | {variable: parts[name] for name, variable in LIBPQ_VARIABLES.items() if name in parts}


@contextmanager
def connected(target: Warehouse) -> Iterator[Execute]:
    """A function that runs one statement and returns its rows; all of them are one transaction."""
    connection: Any = (duckdb if target.engine == "duckdb" else psycopg2).connect(target.credentials)
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
