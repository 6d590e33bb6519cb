"""How the last build of the models ended: recorded in the warehouse, beside the marts.

A build that fails or is killed leaves some marts new and some old. So the record says "not passed" from before the
build begins until it has passed, and nobody publishes a part of it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.errors import CallsError
from pipelines.warehouse import Execute, Target, connected, open_for_writing, postgres

BEGIN = (
    "create schema if not exists intermediate",
    "create table if not exists intermediate.last_build (is_passed boolean)",
    "delete from intermediate.last_build",
    "insert into intermediate.last_build values (false)",
)


class NothingToPublish(CallsError):
    """There are no marts, or their last build failed."""


@contextmanager
def building(target: Target) -> Iterator[None]:
    """One build of the models, alone in the warehouse. It has passed if the block ends without an error.

    Raises `WarehouseLocked` or `SettingsError` if the warehouse is locked or cannot be opened.
    """
    with hold_marts(target):
        with connected(target) as execute:
            for statement in BEGIN:
                execute(statement)
        yield
        with connected(target) as execute:
            execute("update intermediate.last_build set is_passed = true")


@contextmanager
def hold_marts(target: Target) -> Iterator[None]:
    """Let no other process build or publish until the block ends."""
    if target.engine == "duckdb":
        with open_for_writing(target):
            yield
    else:
        with postgres.hold(target.credentials, "build", wait=False):
            yield


def check_built(target: Target) -> None:
    """Raise `NothingToPublish` if the last build did not pass, or if there was none."""
    with connected(target) as execute:
        is_there = _has_table(execute, "last_build")
        rows = execute("select is_passed from intermediate.last_build") if is_there else []
    if not rows:
        raise NothingToPublish("There are no marts to publish yet. Build them first: calls build.")
    if rows != [(True,)]:
        raise NothingToPublish(
            "The last build of the models failed or was cut short, so readers keep the copy they have. Build again: "
            "calls build."
        )


def built_fingerprint(target: Target) -> str | None:
    """The project's fingerprint at the last whole build; None before the first."""
    with connected(target) as execute:
        if not _has_table(execute, "int_days__built"):
            return None
        rows = execute("select min(project_fingerprint) from intermediate.int_days__built")
        return None if rows[0][0] is None else str(rows[0][0])


def _has_table(execute: Execute, name: str) -> bool:
    statement = "select 1 from information_schema.tables where table_schema = 'intermediate' and table_name = "
    return bool(execute(f"{statement}'{name}'"))
