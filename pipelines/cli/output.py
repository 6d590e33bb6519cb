"""What commands print: lines, tables, JSON, times in words, the end of a run.

Results go to standard output, so that they can be piped; messages and progress go to standard error.
"""

import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, NoReturn

import orjson
import pendulum
from rich import box
from rich.console import Console
from rich.table import Table

from pipelines.errors import CallsError, describe_error, exit_code
from pipelines.load.account import LoadResult
from pipelines.nightly import NightResult
from pipelines.publish import Published
from pipelines.transform import ModelResult
from pipelines.voipcloud.schemas import ENDPOINTS

PIPED_WIDTH = None if sys.stdout.isatty() else 200  # without a terminal there is no screen to cut a table for
out = Console(highlight=False, soft_wrap=True, width=PIPED_WIDTH)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def emit(value: Any, as_json: bool, show: Callable[[], object] = lambda: None) -> None:
    """Write `value` as one JSON document to standard output, or else call `show`."""
    if as_json:
        option = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        sys.stdout.write(orjson.dumps(value, default=describe_error, option=option).decode())
    else:
        show()


def write(text: str) -> None:
    """A line of the result, on standard output."""
    out.print(text, markup=False)


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


def finish(errors: Iterable[CallsError | None]) -> NoReturn:
    """Print the errors and exit with the gravest one's code, or 0."""
    found = [error for error in errors if error]
    for error in found:
        say_error(error)
    sys.exit(exit_code(found))


def new_table(*columns: str, right: tuple[int, ...] = ()) -> Table:
    """A plain table; columns numbered in `right` hold numbers."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number in right else "left", no_wrap=True)
    return table


def duration_in_words(seconds: float) -> str:
    """A length of time by its two largest units: "37 seconds", "1 hour 5 minutes"."""
    if seconds < 1:
        return "under a second"
    return " ".join(pendulum.duration(seconds=round(seconds)).in_words().split()[:4])


def age_in_words(instant: datetime | None) -> str:
    """How long ago an instant was: "3 hours ago", or "never"."""
    return "never" if instant is None else pendulum.instance(instant).diff_for_humans()


def utc_minute(instant: datetime | None) -> str:
    """An instant to the minute, in UTC: "2026-01-31 09:05", or "-"."""
    return "-" if instant is None else f"{instant.astimezone(UTC):%Y-%m-%d %H:%M}"


def print_loads(loads: list[LoadResult]) -> None:
    """What each account's load did."""
    table = new_table("account", "calls", "days", "calls loaded", "rejected", right=(2, 3, 4))
    for load in loads:
        for number, endpoint in enumerate(name for name in ENDPOINTS if name in load.rows):
            rejected = str(load.rejected) if number == 0 else ""
            row = (load.account if number == 0 else "", endpoint.removesuffix("_calls"))
            table.add_row(*row, f"{load.days.get(endpoint, 0):,}", f"{load.rows[endpoint]:,}", rejected)
    if table.row_count:
        out.print(table)
    for load in loads:
        state = "stopped early" if load.error else "complete"
        requests = "1 request" if load.requests == 1 else f"{load.requests} requests"
        took = duration_in_words(load.seconds)
        if load.waited_seconds >= 1:
            took += f", of which {duration_in_words(load.waited_seconds)} waiting for the budget"
        write(f"{load.account}: {state}; {requests} for calls, {took}.")


def print_models(models: list[ModelResult]) -> None:
    """What was built: rows, seconds, tests per model."""
    table = new_table("model", "rows", "seconds", "tests", right=(1, 2, 3))
    for model in models:
        if model.rows is not None:
            table.add_row(model.model, f"{model.rows:,}", f"{model.seconds:.2f}", str(model.tests_passed))
    out.print(table)


def print_published(published: Published) -> None:
    """Where readers find the marts."""
    write(f"Published {len(published.rows)} marts: {published.where}")


def print_night(night: NightResult) -> None:
    """A night's summary."""
    print_loads(night.loads)
    if night.models:
        tests = sum(model.tests_passed for model in night.models)
        write(f"{len(night.models)} models built, {tests} tests passed.")
    if night.published:
        print_published(night.published)
    if night.report:
        write(f"The report: {night.report}")
    write(f"The night took {duration_in_words(night.seconds)}.")
