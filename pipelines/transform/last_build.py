"""Whether the marts are whole: how the last build of the models ended, kept in the warehouse beside them.

A build that fails, or is killed, leaves some marts new and some old. That is written down before it begins, so that
nothing of it is published, whoever asks and whenever.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.errors import CallsError
from pipelines.warehouse import Target, connected, open_for_writing, postgres

BEGIN = (
    "create schema if not exists intermediate",
    "create table if not exists intermediate.last_build (is_passed boolean)",
    "delete from intermediate.last_build",
    "insert into intermediate.last_build values (false)",
)
IS_THERE = "select 1 from information_schema.tables where table_schema = 'intermediate' and table_name = 'last_build'"


class NothingToPublish(CallsError):
    """There are no marts, or the last build of them failed."""


@contextmanager
def building(target: Target) -> Iterator[None]:
    """A build of the models: alone in the warehouse, and passed only if the block is left without an error.

    Raises `WarehouseLocked` or `SettingsError` where the warehouse is not to be had.
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
    """Nobody else builds until the end."""
    if target.engine == "duckdb":
        with open_for_writing(target):
            yield
    else:
        with postgres.hold(target.credentials, "build", wait=False):
            yield


def check_built(target: Target) -> None:
    """Raises `NothingToPublish` where the last build did not pass, or where there was none."""
    with connected(target) as execute:
        rows = execute("select is_passed from intermediate.last_build") if execute(IS_THERE) else []
    if not rows:
        raise NothingToPublish("There are no marts to publish yet. Build them first: calls build.")
    if rows != [(True,)]:
        raise NothingToPublish(
            "The last build of the models failed or was cut short, so readers keep the copy they have. Build again: "
            "calls build."
        )
