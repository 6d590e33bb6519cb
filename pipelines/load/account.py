"""One account's load: lock → restore → run the source, package by package, until no day is missing.

Waiting for the budget happens between two packages, never inside one: what was read is in the warehouse by then.
"""

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Literal

from pipelines.budget import Usage
from pipelines.errors import BudgetSpent, CallsError, UnexpectedError
from pipelines.load.locks import hold_account
from pipelines.load.pipeline import AskWriter, restore, run_package
from pipelines.voipcloud import STATUS, voipcloud
from pipelines.voipcloud.coverage import DateRange
from pipelines.voipcloud.run import Outcome, PageRead, ReadOptions, Signal, no_stop
from pipelines.voipcloud.schemas import ENDPOINTS
from pipelines.voipcloud.settings import Account
from pipelines.warehouse import Target, open_for_writing
from pipelines.warehouse import hold_account as hold_account_there

GIVE_UP_AFTER_WINDOWS = 4  # of waiting without one answered request: somebody else takes every slot


@dataclass(frozen=True)
class LoadOptions:
    """What the user asked for on the command line."""

    endpoints: tuple[str, ...] = ENDPOINTS
    again: DateRange | None = None
    on_budget: Literal["wait", "stop"] = "wait"
    allow_shrink: bool = False


@dataclass
class LoadResult:
    """What a load did; `error` is what ended it early."""

    account: str
    rows: dict[str, int] = field(default_factory=dict)
    days: dict[str, int] = field(default_factory=dict)
    rejected: int = 0
    unplaced: int = 0
    requests: int = 0
    packages: int = 0
    waited_seconds: float = 0.0
    seconds: float = 0.0
    system_status: str | None = None
    warnings: list[str] = field(default_factory=list)
    error: CallsError | None = None


@dataclass(frozen=True)
class Observer:
    """What is reported while a load runs; `stop` gives a reason to end it."""

    on_page: Callable[[str, PageRead, Usage], None] = lambda *_: None
    on_wait: Callable[[str, float, str], None] = lambda *_: None  # account, seconds left, why
    on_warning: Callable[[str, str], None] = lambda *_: None
    stop: Signal = no_stop


def load_account(
    account: Account,
    target: Target,
    options: LoadOptions,
    observer: Observer,
    *,
    ask_writer: AskWriter | None = None,
    clock: Callable[[], float] = time.time,
) -> LoadResult:
    """Loads what is missing of one account. Raises nothing: `LoadResult.error` holds what went wrong.

    `ask_writer`: another process has the warehouse open and writes. `clock` (Unix seconds) decides which days have
    ended; the budget has its own.
    """
    result = LoadResult(account.name, warnings=list(account.warnings))
    begun = time.monotonic()
    try:
        opened = open_for_writing(target) if ask_writer is None else nullcontext()
        with hold_account(account.name), hold_account_there(account.name, target), opened:
            _load(account, target, options, observer, result, ask_writer, clock)
    except CallsError as error:
        result.error = error
    except Exception as error:  # noqa: BLE001 -- of this account; the others may be sound
        result.error = UnexpectedError.wrap(error, f"{account.name}: the load")
    result.seconds = time.monotonic() - begun
    for warning in result.warnings:
        observer.on_warning(account.name, warning)
    return result


def _load(
    account: Account,
    target: Target,
    options: LoadOptions,
    observer: Observer,
    result: LoadResult,
    ask_writer: AskWriter | None,
    clock: Callable[[], float],
) -> None:
    pipeline = restore(account.name, target, ask_writer)
    source = voipcloud(
        account.name,
        ReadOptions(
            asked=options.again,
            allow_shrink=options.allow_shrink,
            resumes=False,
            on_page=lambda page, usage: observer.on_page(account.name, page, usage),
            stop=observer.stop,
            clock=clock,
        ),
    )
    lists: tuple[str, ...] = options.endpoints
    others: tuple[str, ...] = ("accounts", STATUS)
    failed: list[CallsError] = []  # of lists that cannot be read; the others are read to their end
    idle_since = time.monotonic()
    while lists:
        outcome = source.outcome
        try:
            run_package(pipeline, target, source.with_resources(*lists, *others), ask_writer)
        except CallsError as error:
            if error is not outcome.error:  # the warehouse's, and not the source's
                raise
        else:
            _count_package(outcome, result)
            others = ("accounts",)
        result.warnings += outcome.warnings
        result.requests += outcome.requests
        failed += outcome.list_errors.values()
        if outcome.requests:
            idle_since = time.monotonic()
        if outcome.run_error is not None:
            try:
                _wait_or_raise(account, outcome.run_error, idle_since, options, observer, result)
            except CallsError:
                result.warnings += map(str, failed)
                raise
        lists = outcome.lists_left
    if failed:
        result.warnings += map(str, failed[1:])
        raise failed[0]


def _count_package(outcome: Outcome, result: LoadResult) -> None:
    result.packages += 1
    for endpoint, rows in outcome.rows.items():
        result.rows[endpoint] = result.rows.get(endpoint, 0) + rows
    for endpoint, days in outcome.days.items():
        result.days[endpoint] = result.days.get(endpoint, 0) + days
    result.rejected += outcome.rejected
    result.unplaced += sum(outcome.unplaced.values())
    result.system_status = result.system_status or outcome.system_status


def _wait_or_raise(
    account: Account,
    error: CallsError,
    idle_since: float,
    options: LoadOptions,
    observer: Observer,
    result: LoadResult,
) -> None:
    idle = time.monotonic() - idle_since
    if not isinstance(error, BudgetSpent) or options.on_budget == "stop":
        raise error
    if idle > GIVE_UP_AFTER_WINDOWS * account.limits.window_seconds:
        raise error
    begun = time.monotonic()
    while (left := error.until - time.time()) > 0:
        if stopped := observer.stop():
            raise stopped
        observer.on_wait(account.name, left, str(error))
        time.sleep(min(left, 1.0))
    result.waited_seconds += time.monotonic() - begun
