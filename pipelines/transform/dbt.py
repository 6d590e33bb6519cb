"""dbt in this process: one command with what it reads from the environment, and nothing of it left open afterwards."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any

from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.adapters.factory import reset_adapters
from dbt.cli.main import dbtRunner, dbtRunnerResult

Progress = Callable[[str, int, int], None]


def invoke(words: list[str], variables: Mapping[str, str], on_progress: Progress | None) -> dbtRunnerResult:
    """Runs `dbt <words>`; `on_progress` is called with (node, done, total) as each node ends."""
    callbacks = [_progress_reporter(on_progress)] if on_progress else []
    try:
        with _environment(variables):
            return dbtRunner(callbacks=callbacks).invoke(words)
    finally:
        _release()


def _release() -> None:
    """Close what dbt keeps open after a command: the warehouse, which nobody else could open, and its log."""
    reset_adapters()  # type: ignore[no-untyped-call]  # dbt leaves it without types
    DuckDBConnectionManager.close_all_connections()  # type: ignore[no-untyped-call]  # as this one
    log = logging.getLogger("file_log")
    for handler in list(log.handlers):
        with suppress(OSError):  # the disk is full, and what failed for it has been told
            handler.close()
        log.removeHandler(handler)


def _progress_reporter(on_progress: Progress) -> Callable[[Any], None]:
    ended = count(1)

    def report(event: Any) -> None:
        if event.info.name in {"LogModelResult", "LogTestResult", "LogSeedResult", "LogNodeNoOpResult"}:
            total = getattr(event.data, "total", 0) or getattr(event.data, "num_models", 0)  # by the kind of node
            on_progress(event.data.node_info.node_name, next(ended), total)

    return report


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value
