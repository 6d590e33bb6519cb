"""One account's load: lock → probe → read → load, package by package, until no day is missing.

Waiting for the budget happens between two packages, never inside one: what was read is in the warehouse by then.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import orjson

from pipelines.budget import Budget, Usage
from pipelines.errors import BudgetSpent, CallsError, UnexpectedError, UnexpectedPayload
from pipelines.load.locks import hold_account
from pipelines.phone_numbers import mask_numbers
from pipelines.voipcloud import Status
from pipelines.voipcloud.client import Client
from pipelines.voipcloud.coverage import DateRange
from pipelines.voipcloud.packages import Package
from pipelines.voipcloud.reader import AccountReader, Order, Progress, Signal, no_stop
from pipelines.voipcloud.schemas import ENDPOINTS
from pipelines.voipcloud.settings import Account
from pipelines.warehouse import Target, coverage_of, hold_in_warehouse, load_package, open_for_writing, restore_pipeline

GIVE_UP_AFTER_WINDOWS = 4  # of waiting without one answered request: somebody else takes every slot
GOOD_WORDS = {"ok", "operational", "up", "online", "normal", "green", "available", "success", "none"}


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
    requests: int = 0
    packages: int = 0
    waited_seconds: float = 0.0
    seconds: float = 0.0
    system_status: str | None = None
    warnings: list[str] = field(default_factory=list)
    error: CallsError | None = None


@dataclass(frozen=True)
class Observer:
    """What is told to the screen while a load runs."""

    on_page: Callable[[str, Progress, Usage], None] = lambda *_: None
    on_wait: Callable[[str, float, str], None] = lambda *_: None  # account, seconds left, why
    on_warning: Callable[[str, str], None] = lambda *_: None
    stop: Signal = no_stop


def load_account(
    account: Account,
    target: Target,
    options: LoadOptions,
    observer: Observer,
    *,
    clock: Callable[[], float] = time.time,
) -> LoadResult:
    """Loads what is missing of one account. Never raises what can be told of it: `LoadResult.error` holds it.

    `clock` (Unix seconds) decides which days have ended; the budget has its own.
    """
    loaded = LoadResult(account.name, warnings=list(account.warnings))
    begun = time.monotonic()
    try:
        with hold_account(account.name), hold_in_warehouse(account.name, target), open_for_writing(target):
            _load(account, target, options, observer, loaded, clock)
    except CallsError as error:
        loaded.error = error
    except Exception as error:  # noqa: BLE001 -- of this account; the others may be sound
        loaded.error = UnexpectedError.wrap(error, f"{account.name}: the load")
    loaded.seconds = time.monotonic() - begun
    for warning in loaded.warnings:
        observer.on_warning(account.name, warning)
    return loaded


def open_budget(account: Account) -> Budget:
    """The ledger that every run and process sharing the account's key counts in."""
    return Budget(account.ledger, account.host, account.access.api_key, account.limits)


def _load(
    account: Account,
    target: Target,
    options: LoadOptions,
    observer: Observer,
    loaded: LoadResult,
    clock: Callable[[], float],
) -> None:
    pipeline = restore_pipeline(account.name, target)
    budget = open_budget(account)
    with (
        Client(account.access, budget) as client,
        AccountReader(
            client,
            _order(account, options),
            coverage_of(pipeline),
            clock=clock,
            on_progress=lambda page: _count_page(account.name, page, budget, loaded, observer),
            stop=observer.stop,
        ) as reader,
    ):
        status: Status | None = None
        asked = False
        idle_since = time.monotonic()
        while True:
            if not asked:
                status, asked = _ask_status(client, loaded)
            before = loaded.requests
            package = Package()
            reading = reader.read_into(package)
            is_begun = any(package.coverage for _ in reading)  # reads on until something is whole
            if is_begun or package.coverage or status is not None:
                load_package(pipeline, target, account, package, reading, status)
                _count_package(package, loaded)
                status = None
            loaded.warnings += package.warnings
            if package.error is None and package.done:
                return
            if loaded.requests > before:
                idle_since = time.monotonic()
            if package.error is not None:
                try:
                    _wait_or_raise(account, package.error, idle_since, options, observer, loaded)
                except CallsError:
                    loaded.warnings += [str(other) for other in reader.failed if other is not package.error]
                    raise


def _order(account: Account, options: LoadOptions) -> Order:
    return Order(
        account=account.name,
        timezone=account.timezone,
        names=account.names,
        start=account.start_date,
        endpoints=options.endpoints,
        again=options.again,
        allow_shrink=options.allow_shrink,
        package_pages=account.package_pages,
        rules=account.rules,
    )


def _ask_status(client: Client, loaded: LoadResult) -> tuple[Status | None, bool]:
    """The NOC's word, once a run, and whether it was asked. Whatever it is, or if it fails, the calls are read."""
    try:
        payload = client.fetch_system_status()
    except BudgetSpent:
        return None, False
    except CallsError as error:
        loaded.warnings.append(f"The system status could not be asked for ({type(error).__name__}).")
        return None, True
    try:
        word, text = describe_status(payload, loaded.account)
    except UnexpectedPayload as error:
        loaded.warnings.append(str(error))
        return None, True
    loaded.system_status = word
    if word is not None and word.lower() not in GOOD_WORDS:
        loaded.warnings.append(f"The PBX's operator reports the status '{word}': calls may be missing on their side.")
    return Status(datetime.now(UTC), word, text), True


def describe_status(payload: Any, account: str) -> tuple[str | None, str]:
    """The status in a word, where it has one, and the whole answer as JSON. Raises `UnexpectedPayload`."""
    try:
        return _status_word(payload), orjson.dumps(payload).decode()
    except (TypeError, RecursionError):
        raise UnexpectedPayload(f"{account}: the system status is nested too deep to be kept.") from None


def _status_word(payload: Any) -> str | None:
    """The status in a word. The article names no fields, so the usual ones are looked for."""
    if isinstance(payload, str):
        return mask_numbers("".join(filter(str.isprintable, payload))[:80])
    if isinstance(payload, list):
        return _status_word(payload[0]) if payload else None
    if isinstance(payload, dict):
        for name in ("status", "system_status", "state", "indicator"):
            if payload.get(name) is not None:
                return _status_word(payload[name])
    return None


def _count_page(account: str, page: Progress, budget: Budget, loaded: LoadResult, observer: Observer) -> None:
    loaded.requests += 1
    observer.on_page(account, page, budget.usage())


def _count_package(package: Package, loaded: LoadResult) -> None:
    loaded.packages += 1
    for endpoint in package.coverage:
        loaded.rows.setdefault(endpoint, 0)
    for endpoint, rows in package.rows.items():
        loaded.rows[endpoint] = loaded.rows.get(endpoint, 0) + rows
    for day in package.loaded_days:
        loaded.days[day["endpoint"]] = loaded.days.get(day["endpoint"], 0) + 1
    loaded.rejected += len(package.rejected)


def _wait_or_raise(
    account: Account, error: CallsError, idle_since: float, options: LoadOptions, observer: Observer, loaded: LoadResult
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
    loaded.waited_seconds += time.monotonic() - begun
