"""One dbt command in this process, with its environment variables; it leaves nothing open.

Importing dbt takes a second, so only `project.run_dbt` imports this module, and only when it runs.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any

from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.adapters.factory import reset_adapters
from dbt.cli.main import dbtRunner, dbtRunnerResult


def invoke(
    words: list[str], variables: Mapping[str, str], on_progress: Callable[[str, int, int], None] | None
) -> dbtRunnerResult:
    """Run `dbt <words>`; `on_progress` is called with (node, done, total) as each node ends."""
    callbacks = [_progress_reporter(on_progress)] if on_progress else []
    try:
        with _environment(variables):
            return dbtRunner(callbacks=callbacks).invoke(words)
    finally:
        _release()


def _release() -> None:
    """Close what dbt keeps open: its log, and the warehouse, which no other process could open until then."""
    reset_adapters()  # type: ignore[no-untyped-call]  # dbt has no types here
    DuckDBConnectionManager.close_all_connections()  # type: ignore[no-untyped-call]  # nor here
    log = logging.getLogger("file_log")
    for handler in list(log.handlers):
        with suppress(OSError):  # the disk is full, and the build has already reported that
            handler.close()
        log.removeHandler(handler)


def _progress_reporter(on_progress: Callable[[str, int, int], None]) -> Callable[[Any], None]:
    ended = count(1)

    def report(event: Any) -> None:
        if event.info.name in {"LogModelResult", "LogTestResult", "LogSeedResult", "LogNodeNoOpResult"}:
            total = getattr(event.data, "total", 0) or getattr(
                event.data, "num_models", 0
            )  # depends on the kind of node
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
