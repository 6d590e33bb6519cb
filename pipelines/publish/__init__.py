"""The readers' copy: what dashboards and analysts open. It is swapped in whole, so a reader never sees half a night.

DuckDB lets one process write or many read, never both, so the warehouse stays private and readers get a copy
(`publish.duckdb`). On Postgres each mart was swapped in its own transaction as it was built, and readers get a role
(`publish.postgres`). Either way nothing is published unless the last build passed.
"""

from dataclasses import dataclass
from pathlib import Path

from pipelines.publish import duckdb, postgres
from pipelines.transform.last_build import check_built, hold_marts
from pipelines.warehouse import Target


@dataclass(frozen=True)
class Published:
    """What readers have now: where, and how many rows each mart has."""

    where: str
    rows: dict[str, int]


def published_folder(target: Target) -> Path:
    """The folder of a DuckDB warehouse's readers' copy."""
    return target.path.parent / "published"


def publish(target: Target) -> Published:
    """Publish the marts as they are. Raises `NothingToPublish` if the last build did not pass."""
    with hold_marts(target):
        check_built(target)
        if target.engine == "postgres":
            return Published(postgres.WHERE, postgres.grant_marts(target.credentials))
        folder = published_folder(target)
        return Published(str(folder / duckdb.FILE), duckdb.copy_marts(target.path, folder))
