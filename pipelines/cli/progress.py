"""Progress of loads and builds on standard error: bars and a countdown on a terminal, plain lines elsewhere."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from pipelines.budget import Usage
from pipelines.cli.output import duration_in_words, err, say, say_warning
from pipelines.load.account import Observer
from pipelines.nightly import OnModel
from pipelines.voipcloud.run import PageRead, Signal

PLAIN_WAIT_SECONDS = 60  # without a terminal, one line per minute shows that a run is alive
MOST_BARS = 12  # beyond them, the bars of lists that are done disappear


@contextmanager
def watch_loads(stop: Signal) -> Iterator[Observer]:
    """An observer that draws bars on a terminal, and writes plain lines elsewhere."""
    if not err.is_terminal:
        yield _observe(_Lines(), stop)
        return
    with _new_bars() as bars:
        yield _observe(_Bars(bars), stop)


@contextmanager
def watch_build() -> Iterator[OnModel]:
    """A function to call after each model and test: it moves a bar on a terminal, and does nothing elsewhere."""
    if not err.is_terminal:
        yield lambda *_: None
        return
    with _new_bars() as bars:
        task = bars.add_task("models and tests", total=None, note="")

        def move(name: str, done: int, total: int) -> None:
            bars.update(task, completed=done, total=total, note=f"{done} of {total}: {name}")

        yield move


def _observe(shown: "_Lines | _Bars", stop: Signal) -> Observer:
    return Observer(on_page=shown.show_page, on_wait=shown.show_wait, on_warning=_warn, stop=stop)


def _new_bars() -> Progress:
    columns = (TextColumn("{task.description:<28}"), BarColumn(bar_width=24), TextColumn("{task.fields[note]}"))
    return Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=err, transient=True)


def _warn(account: str, text: str) -> None:
    say_warning(text if text.startswith(f"{account}:") else f"{account}: {text}")


class _Bars:
    """One bar per list, filled by days; one per account for the budget while the load waits for it."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        self._rows = Counter[str]()
        self._waits: dict[str, tuple[TaskID, float]] = {}  # with the seconds the wait began with

    def show_page(self, account: str, page: PageRead, usage: Usage) -> None:
        if account in self._waits:
            self._bars.remove_task(self._waits.pop(account)[0])
        name = f"{account}: {page.endpoint}"
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=None, note="")
        self._rows[name] += page.rows
        back_to = f" back to {page.day}" if page.day else ""
        note = f"{self._rows[name]:,} calls{back_to}; requests used {usage.used}, left {usage.left}"
        self._bars.update(self._tasks[name], total=page.days_total, completed=page.days_done, note=note)
        if len(self._tasks) > MOST_BARS and page.days_total and page.days_done >= page.days_total:
            self._bars.update(self._tasks[name], visible=False)

    def show_wait(self, account: str, seconds_left: float, _why: str) -> None:
        if account not in self._waits:
            task = self._bars.add_task(f"{account}: budget", total=seconds_left, note="")
            self._waits[account] = (task, seconds_left)
        task, total = self._waits[account]
        note = f"the budget is spent; next request in {duration_in_words(seconds_left)}"
        self._bars.update(task, completed=total - seconds_left, note=note)


class _Lines:
    """One line per page, and one when a wait begins and each minute of it."""

    def __init__(self) -> None:
        self._said_at: dict[str, float] = {}

    def show_page(self, account: str, page: PageRead, usage: Usage) -> None:
        self._said_at.pop(account, None)
        back_to = f", back to {page.day}" if page.day else ""
        say(f"{account}: {page.endpoint}: {page.rows:,} calls read{back_to}; requests left {usage.left}")

    def show_wait(self, account: str, seconds_left: float, _why: str) -> None:
        if time.monotonic() - self._said_at.get(account, -1e9) > PLAIN_WAIT_SECONDS:
            self._said_at[account] = time.monotonic()
            wait = duration_in_words(seconds_left)
            say(f"{account}: the budget is spent; next request in {wait}, and what was read is in the warehouse")
