"""SIGINT and SIGTERM end a run cleanly: the page being read is finished, whole days are loaded, exit code 75."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from pipelines.errors import CallsError, Interrupted


@contextmanager
def watch_signals() -> Iterator[Callable[[], CallsError | None]]:
    """A function that returns `Interrupted` once a signal came, else None. A second signal ends the process at once."""
    received: list[int] = []
    before: dict[signal.Signals, Any] = {}

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        for name in before:
            signal.signal(name, signal.SIG_DFL)  # no cleaning up, which would wait for the open request

    def stop() -> CallsError | None:
        if not received:
            return None
        return Interrupted(
            f"Stopped by {signal.Signals(received[0]).name}; what was read is loaded, and the next run reads the rest."
        )

    for name in (signal.SIGINT, signal.SIGTERM):
        before[name] = signal.signal(name, note)
    try:
        yield stop
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
