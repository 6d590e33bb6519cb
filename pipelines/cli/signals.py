"""SIGINT and SIGTERM end a run cleanly: the page under way is read, what is whole is loaded, exit code 75."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from pipelines.errors import CallsError, Interrupted


@contextmanager
def watch_signals() -> Iterator[Callable[[], CallsError | None]]:
    """Gives a function that says whether a signal asked to stop. A second signal ends at once, as usual."""
    asked: list[int] = []
    before: dict[signal.Signals, Any] = {}

    def ask(number: int, _frame: FrameType | None) -> None:
        asked.append(number)
        for name in before:
            signal.signal(name, signal.SIG_DFL)  # no tidying up, which would wait for the request under way

    def reason() -> CallsError | None:
        if not asked:
            return None
        return Interrupted(
            f"Stopped by {signal.Signals(asked[0]).name}; what was read is loaded, and the next run reads the rest."
        )

    for name in (signal.SIGINT, signal.SIGTERM):
        before[name] = signal.signal(name, ask)
    try:
        yield reason
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
