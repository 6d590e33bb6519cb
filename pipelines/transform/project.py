"""The dbt project `sql/`: its folder, its fingerprint, and its commands with their options and errors."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from psycopg2.extensions import parse_dsn

from pipelines.errors import CallsError
from pipelines.warehouse import Target
from pipelines.warehouse.postgres import PLANNER_OPTIONS

PROJECT = Path(__file__).parent.parent.parent / "sql"
# dbt's profile has no place for these parts of a Postgres URL; libpq reads them from its own variables.
LIBPQ_VARIABLES = {
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "channel_binding": "PGCHANNELBINDING",
}
FLAGS = (
    "--quiet",
    "--no-use-colors",
    "--no-use-colors-file",
    "--no-send-anonymous-usage-stats",
    "--no-version-check",
)

BuildProgress = Callable[[str, int, int], None]


class ModelsFailed(CallsError):
    """A model could not be built, or one of its tests failed; nothing may be published."""


def run_dbt(
    target: Target,
    work_dir: Path,
    arguments: Sequence[str],
    *,
    on_progress: BuildProgress | None = None,
) -> list[Any]:
    """Run one dbt command in this process and return its node results.

    `work_dir` receives dbt's `target/` and `logs/`. `on_progress` is called with (node, done, total) as each node
    ends. Raises `ModelsFailed`, which names the models and tests.
    """
    from pipelines.transform.dbt import invoke  # noqa: PLC0415 -- takes a second, and most commands do not need it

    log = work_dir / "logs" / "dbt.log"
    outcome = invoke([*arguments, *_options(work_dir, arguments)], _profile_variables(target), on_progress)
    if outcome.exception is not None:
        raise ModelsFailed(f"dbt could not run: {outcome.exception}. See {log}.")
    results = list(getattr(outcome.result, "results", []))
    failed = [result.node.name for result in results if result.status in {"error", "fail", "runtime error"}]
    if failed:
        named = ", ".join(failed[:5]) + (f" and {len(failed) - 5} more" if len(failed) > 5 else "")
        raise ModelsFailed(f"{named} failed; what was published before stays. See {log}.")
    return results


def project_fingerprint() -> str:
    """A hash of the project's files. If it changes, every model is built anew."""
    digest = hashlib.sha256()
    for path in sorted(PROJECT.rglob("*")):
        if path.suffix in {".sql", ".csv", ".yml"}:
            digest.update(f"{path.relative_to(PROJECT)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _options(work_dir: Path, arguments: Sequence[str]) -> list[str]:
    options = {
        "--project-dir": PROJECT,
        "--profiles-dir": PROJECT,
        "--target-path": work_dir / "target",
        "--log-path": work_dir / "logs",
        "--log-level": "none",
        "--log-level-file": "debug",
        "--vars": f"{{project_fingerprint: {project_fingerprint()}}}",
    }
    # Only `docs` needs dbt's JSON files, and to write them takes most of a second.
    flags = FLAGS if "docs" in arguments else (*FLAGS, "--no-write-json")
    return [*flags, *(str(word) for option in options.items() for word in option)]


def _profile_variables(target: Target) -> dict[str, str]:
    """The variables that sql/profiles.yml reads. dbt keeps the one with the password out of its logs."""
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
