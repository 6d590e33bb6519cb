"""The nightly job: load → build → publish → report, then one summary for the screen, the log and the notification.

An account that cannot be loaded does not keep the others from being built and published. If a model or a test fails,
everything stays as it was published before. A signal ends the night once what was read is loaded.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pipelines.errors import CallsError, Interrupted, SettingsError, exit_code
from pipelines.files import home
from pipelines.load.account import LoadOptions, LoadResult, Observer, load_account
from pipelines.load.parallel import load_side_by_side
from pipelines.publish import Published, publish
from pipelines.report import write_report
from pipelines.transform import ModelResult, build_models
from pipelines.transform.last_build import building
from pipelines.voipcloud.settings import Account
from pipelines.warehouse import Target

OnModel = Callable[[str, int, int], None]  # name, done, total


@dataclass
class NightResult:
    """What a night did; `errors` in the order in which they occurred. As JSON, this is the summary."""

    loads: list[LoadResult] = field(default_factory=list)
    models: list[ModelResult] = field(default_factory=list)
    published: Published | None = None
    report: str | None = None
    seconds: float = 0.0
    errors: list[CallsError] = field(default_factory=list)


def run_night(
    accounts: list[Account],
    target: Target,
    options: LoadOptions,
    observer: Observer,
    on_model: OnModel,
    jobs: int = 1,
    wrong: Mapping[str, SettingsError] | None = None,
) -> NightResult:
    """Run every step that can still succeed. A `CallsError` is never raised: `NightResult.errors` holds it.

    `wrong` are the accounts whose settings cannot be used. Builds if anything was loaded, or nothing failed.
    """
    night, begun = NightResult(), time.monotonic()
    night.loads = load_accounts(accounts, target, options, observer, jobs, wrong)
    stopped = observer.stop()
    night.errors = load_errors(night.loads, stopped)
    try:
        if not stopped and (any(load.packages for load in night.loads) or not night.errors):
            night.models = build(target, on_model)
            night.published = publish(target)
            night.report = str(write_report(target))
    except CallsError as error:
        night.errors.append(error)
    night.seconds = round(time.monotonic() - begun, 3)
    return night


def load_accounts(
    accounts: list[Account],
    target: Target,
    options: LoadOptions,
    observer: Observer,
    jobs: int = 1,
    wrong: Mapping[str, SettingsError] | None = None,
) -> list[LoadResult]:
    """Load one account after the other, or `jobs` at once; each result holds its own error.

    A signal leaves out the accounts that have not begun.
    """
    loads = [LoadResult(name, error=error) for name, error in (wrong or {}).items()]
    if jobs > 1 and len(accounts) > 1:
        return loads + load_side_by_side(accounts, target, options, observer, jobs)
    for account in accounts:
        loads.append(load_account(account, target, options, observer))
        if observer.stop():
            break
    return loads


def build(target: Target, on_model: OnModel, *, full_refresh: bool = False) -> list[ModelResult]:
    """Build and test the models while nobody else can write the warehouse."""
    with building(target):
        return build_models(target, home() / "dbt", full_refresh=full_refresh, on_progress=on_model)


def load_errors(loads: list[LoadResult], stopped: CallsError | None) -> list[CallsError]:
    """The errors of all loads, plus the stop signal if it arrived during the last load."""
    errors = [load.error for load in loads if load.error]
    if stopped and not any(isinstance(error, Interrupted) for error in errors):
        errors.append(stopped)
    return errors


def log_night(night: NightResult, log: logging.Logger) -> None:
    """Log the night's summary, one line per fact."""
    for load in night.loads:
        calls = ", ".join(f"{endpoint} {rows}" for endpoint, rows in load.rows.items()) or "nothing"
        log.info("%s: loaded %s; %d requests, %.1f s", load.account, calls, load.requests, load.seconds)
        for warning in load.warnings:
            log.warning("%s: %s", load.account, warning.removeprefix(f"{load.account}: "))
    if night.models:
        log.info("%d models built", len(night.models))
    if night.published:
        log.info("published %d marts: %s", len(night.published.rows), night.published.where)
    for error in night.errors:
        log.error("%d %s", error.exit_code, error)
    log.info("ended with %d after %.1f s", exit_code(night.errors), night.seconds)
