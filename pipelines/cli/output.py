"""What people see: progress and countdown on a terminal, plain lines elsewhere, tables, the end of a run.

Progress goes to standard error, results to standard output, so that a result can be piped.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from pipelines.budget import Usage
from pipelines.cli.doctor.findings import Finding
from pipelines.errors import CallsError
from pipelines.load.account import LoadResult, Observer
from pipelines.nightly import NightResult
from pipelines.publish import Published
from pipelines.transform import ModelResult
from pipelines.voipcloud.reader import Progress as PageRead
from pipelines.voipcloud.reader import Signal
from pipelines.voipcloud.schemas import ENDPOINTS

PLAIN_WAIT_SECONDS = 60  # where nobody watches, a line a minute says that a run is alive
MOST_BARS = 12  # with many accounts, those that are done make room
MARKS = {"ok": "[green]ok[/]  ", "note": "[yellow]note[/]", "fail": "[red]FAIL[/]", "not tried": "-   "}
PIPED_WIDTH = None if sys.stdout.isatty() else 200  # a table cut to fit a screen that is not there helps nobody
out = Console(highlight=False, soft_wrap=True, width=PIPED_WIDTH)
err = Console(stderr=True, highlight=False, soft_wrap=True)


@contextmanager
def watch_loads(stop: Signal) -> Iterator[Observer]:
    """A observer that draws on a terminal, and writes plain lines elsewhere."""
    if not err.is_terminal:
        yield _Lines(stop).observer()
        return
    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True) as progress:
        yield _Bars(progress, stop).observer()


class _Bars:
    """One bar an endpoint, filled by days; one for the budget while it is waited for."""

    def __init__(self, progress: Progress, stop: Signal) -> None:
        self._progress = progress
        self._totals: dict[str, float] = {}
        self._stop = stop
        self._tasks: dict[str, TaskID] = {}
        self._rows: dict[str, int] = {}
        self._waiting: dict[str, TaskID] = {}

    def observer(self) -> Observer:
        return Observer(on_page=self._page, on_wait=self._wait, on_warning=_warn, stop=self._stop)

    def _page(self, account: str, page: PageRead, usage: Usage) -> None:
        if account in self._waiting:
            self._progress.remove_task(self._waiting.pop(account))
        name = f"{account}: {page.endpoint}"
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=None, note="")
        self._rows[name] = self._rows.get(name, 0) + page.rows
        back_to = f" back to {page.day}" if page.day else ""
        note = f"{self._rows[name]:,} calls{back_to}; requests used {usage.used}, left {usage.left}"
        self._progress.update(self._tasks[name], total=page.days_total, completed=page.days_done, note=note)
        if len(self._tasks) > MOST_BARS and page.days_total and page.days_done >= page.days_total:
            self._progress.update(self._tasks[name], visible=False)

    def _wait(self, account: str, seconds_left: float, _why: str) -> None:
        if account not in self._waiting:
            self._totals[account] = seconds_left
            self._waiting[account] = self._progress.add_task(f"{account}: budget", total=seconds_left, note="")
        note = f"the budget is spent; next request in {_span(seconds_left)}"
        self._progress.update(self._waiting[account], completed=self._totals[account] - seconds_left, note=note)


class _Lines:
    """A line a page and a line when a wait begins, for logs."""

    def __init__(self, stop: Signal) -> None:
        self._stop = stop
        self._said_at: dict[str, float] = {}

    def observer(self) -> Observer:
        return Observer(on_page=self._page, on_wait=self._wait, on_warning=_warn, stop=self._stop)

    def _page(self, account: str, page: PageRead, usage: Usage) -> None:
        self._said_at.pop(account, None)
        back_to = f", back to {page.day}" if page.day else ""
        say(f"{account}: {page.endpoint}: {page.rows:,} calls read{back_to}; requests left {usage.left}")

    def _wait(self, account: str, seconds_left: float, _why: str) -> None:
        if time.monotonic() - self._said_at.get(account, -1e9) > PLAIN_WAIT_SECONDS:
            self._said_at[account] = time.monotonic()
            say(f"{account}: the budget is spent; waiting {_span(seconds_left)}, with what was read in the warehouse")


def say(text: str) -> None:
    """A line on standard error."""
    err.print(text, markup=False)


def say_error(error: CallsError) -> None:
    """An error's line on standard error."""
    err.print("[bold red]error[/]: ", end="")
    say(str(error))


def say_warning(text: str) -> None:
    """A warning's line on standard error."""
    err.print("[yellow]warning[/]: ", end="")
    say(text)


def _warn(account: str, text: str) -> None:
    say_warning(text if text.startswith(f"{account}:") else f"{account}: {text}")


def print_loads(loads: list[LoadResult]) -> None:
    """What each account's load did, as a table."""
    table = new_table("account", "calls", "days", "calls loaded", "rejected", right=(2, 3, 4))
    for load in loads:
        for number, endpoint in enumerate(name for name in ENDPOINTS if name in load.rows):
            rejected = str(load.rejected) if number == 0 else ""
            row = (load.account if number == 0 else "", endpoint.removesuffix("_calls"))
            table.add_row(*row, f"{load.days.get(endpoint, 0):,}", f"{load.rows[endpoint]:,}", rejected)
    if table.row_count:
        out.print(table)
    for load in loads:
        waited = f", of which {_span(load.waited_seconds)} waiting for the budget" if load.waited_seconds >= 1 else ""
        state = "stopped early" if load.error else "complete"
        requests = "1 request" if load.requests == 1 else f"{load.requests} requests"
        out.print(f"{load.account}: {state}; {requests} for calls, {_span(load.seconds)}{waited}.", markup=False)


@contextmanager
def watch_build() -> Iterator[Callable[[str, int, int], None]]:
    """Gives what tells of each model and test as it ends: a bar on a terminal, nothing elsewhere."""
    if not err.is_terminal:
        yield lambda *_: None
        return
    columns = (TextColumn("{task.description:<28}"), BarColumn(bar_width=24), TextColumn("{task.fields[note]}"))
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=err, transient=True) as progress:
        task: list[TaskID] = []

        def tell(name: str, done: int, total: int) -> None:
            if not task:
                task.append(progress.add_task("models and tests", total=total, note=""))
            progress.update(task[0], completed=done, total=total, note=f"{done} of {total}: {name}")

        yield tell


def print_models(models: list[ModelResult]) -> None:
    """What was built: rows, seconds, tests."""
    table = new_table("model", "rows", "seconds", "tests", right=(1, 2, 3))
    for model in models:
        if model.rows is not None:
            table.add_row(model.model, f"{model.rows:,}", f"{model.seconds:.2f}", str(model.tests_passed))
    out.print(table)


def print_published(published: Published) -> None:
    """Where readers find the marts."""
    out.print(f"Published {len(published.rows)} marts: {published.where}", markup=False)


def print_night(night: NightResult) -> None:
    """A night's summary."""
    print_loads(night.loads)
    if night.models:
        tests = sum(model.tests_passed for model in night.models)
        out.print(f"{len(night.models)} models built, {tests} tests passed.", markup=False)
    if night.published:
        print_published(night.published)
    if night.report:
        out.print(f"The report: {night.report}", markup=False)
    out.print(f"The night took {_span(night.seconds)}.", markup=False)


def new_table(*columns: str, right: tuple[int, ...] = ()) -> Table:
    """A plain table; columns numbered in `right` hold numbers."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number in right else "left", no_wrap=True)
    return table


def show_instant(text: str | None) -> str:
    """An ISO instant to the minute, in UTC."""
    return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M") if text else "-"


def show_age(text: str | None) -> str:
    """How long ago an ISO instant was."""
    if text is None:
        return "never"
    minutes = int((datetime.now(UTC) - datetime.fromisoformat(text)).total_seconds() // 60)
    if minutes < 120:
        return f"{minutes} min ago"
    return f"{minutes // 60} h ago" if minutes < 2880 else f"{minutes // 1440} days ago"


def _span(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def print_status(accounts: list[dict[str, Any]]) -> None:
    """Coverage and freshness an account, then what is wrong with it, then the budget."""
    for account in accounts:
        running = account["running"]
        since = f", a load is running since {show_instant(running['since'])} UTC" if running else ""
        out.print(f"{account['account']}: as of {account['as_of']}{since}", markup=False)
        table = new_table("calls", "from", "settled to", "stored", "newest call (UTC)", "loaded", right=(3,))
        for name, found in account["endpoints"].items():
            table.add_row(
                name.removesuffix("_calls"),
                found["first_day"] or "-",
                found["settled_until"] or "-",
                f"{found['calls']:,}",
                show_instant(found["newest_call_at"]),
                show_age(found["loaded_at"]),
            )
        out.print(table)
        for line in _troubles(account["endpoints"]):
            out.print(f"  {line}", markup=False)
    print_budgets([account["budget"] for account in accounts])


def print_budgets(budgets: list[dict[str, Any]]) -> None:
    """Whether a request may go, an account."""
    for budget in budgets:
        used = f"{budget['used']} of {budget['requests']} requests used in {budget['window_seconds']:g} s"
        kept = f"{budget['left']} left for loads, {budget['left_interactive']} for dialling"
        when = "now" if budget["wait_seconds"] <= 0 else f"in {_span(budget['wait_seconds'])}"
        blocked = "; the PBX refused more (429)" if budget["blocked_until"] else ""
        out.print(f"{budget['account']}: {used}, {kept}; next request {when}{blocked}", markup=False)


def print_finding(finding: Finding) -> None:
    """A doctor's finding in a line; if it failed, with what to do."""
    out.print(f"{MARKS[finding.verdict]} ", end="")
    whose = f"{finding.account}: " if finding.account else ""
    out.print(f"{whose}{finding.what}: {finding.error or finding.found}", markup=False)


def _troubles(endpoints: dict[str, Any]) -> Iterator[str]:
    for name, found in endpoints.items():
        for gap in found["gaps"]:
            yield f"{name}: not read yet: from {gap['from'] or 'the first call'} to {gap['to']}; calls load reads them."
        if found["rejected"]:
            yield f"{name}: {found['rejected']:,} records could not be read: see raw.rejected_records."
        if found["unfinished"]:
            yield f"{name}: {found['unfinished']:,} calls had not ended when they were read."
        for day, offered in found["days_offered_less"].items():
            yield f"{name}: {day} was left as it is, because the PBX offered only {offered:,} records of it."
