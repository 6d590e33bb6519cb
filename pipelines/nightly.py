"""The nightly job: load → build → publish → report, and one summary: on the screen, in the log, to whoever is to know.

What one account could not load does not keep the others from being built and published; models or tests that fail keep
everything as it was published before. A signal ends the night after what was read is loaded.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.errors import CallsError, Interrupted, SettingsWrong
from pipelines.loading import Loaded, Watcher, Wish, load_account
from pipelines.models import ModelResult, build_models
from pipelines.models.builds import building
from pipelines.publishing import Published, publish
from pipelines.report import write_report
from pipelines.settings import Account, home
from pipelines.warehouse import Target
from pipelines.workers import load_side_by_side

# From the mildest to the gravest: what a run of several accounts ends with.
GRAVITY = (0, 75, 65, 69, 77, 78, 2, 1)
BuildProgress = Callable[[str, int, int], None]


@dataclass
class Night:
    """What a night did; `errors` in the order in which they came."""

    loads: list[Loaded] = field(default_factory=list)
    models: list[ModelResult] = field(default_factory=list)
    published: Published | None = None
    report: str | None = None
    seconds: float = 0.0
    errors: list[CallsError] = field(default_factory=list)


def run_night(
    accounts: list[Account],
    target: Target,
    wish: Wish,
    watcher: Watcher,
    on_build: BuildProgress,
    jobs: int = 1,
    wrong: Mapping[str, SettingsWrong] | None = None,
) -> Night:
    """Runs every step that can still do good. Never raises what can be told of it.

    `wrong` are accounts that cannot be loaded for their settings.
    """
    night, begun = Night(), time.monotonic()
    night.loads = load_accounts(accounts, target, wish, watcher, jobs, wrong)
    stopped = watcher.stop()
    night.errors = load_errors(night.loads, stopped)
    try:
        if not stopped and (any(load.packages for load in night.loads) or not night.errors):
            night.models = build(target, on_build)
            night.published = publish(target)
            night.report = str(write_report(target))
    except CallsError as error:
        night.errors.append(error)
    night.seconds = time.monotonic() - begun
    return night


def load_accounts(
    accounts: list[Account],
    target: Target,
    wish: Wish,
    watcher: Watcher,
    jobs: int = 1,
    wrong: Mapping[str, SettingsWrong] | None = None,
) -> list[Loaded]:
    """Loads account by account, or `jobs` at once; an error is kept in its `Loaded`. A signal leaves out the rest."""
    loads = [Loaded(name, error=error) for name, error in (wrong or {}).items()]
    if jobs > 1 and len(accounts) > 1:
        return loads + load_side_by_side(accounts, target, wish, watcher, jobs)
    for account in accounts:
        loads.append(load_account(account, target, wish, watcher))
        if watcher.stop():
            break
    return loads


def build(target: Target, on_build: BuildProgress, *, full_refresh: bool = False) -> list[ModelResult]:
    """Builds and tests the models, while nobody else can write the warehouse."""
    with building(target):
        return build_models(target, home() / "dbt", full_refresh=full_refresh, on_progress=on_build)


def load_errors(loads: list[Loaded], stopped: CallsError | None) -> list[CallsError]:
    """What loads ended with; a signal is told of, too, that came when the last that was read was being loaded."""
    errors = [load.error for load in loads if load.error]
    if stopped and not any(isinstance(error, Interrupted) for error in errors):
        errors.append(stopped)
    return errors


def worst(errors: Iterable[CallsError | None]) -> int:
    """The exit code of several errors: the gravest."""
    return max((error.exit_code if error else 0 for error in errors), key=GRAVITY.index, default=0)


def log_night(night: Night, log: logging.Logger) -> None:
    """The night's summary, a line a fact."""
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
    log.info("ended with %d after %.1f s", worst(night.errors), night.seconds)


def summarize(night: Night) -> dict[str, Any]:
    """The night as JSON."""
    return {
        "loads": [describe_load(load) for load in night.loads],
        "models": [vars(model) for model in night.models],
        "published": vars(night.published) if night.published else None,
        "report": night.report,
        "seconds": round(night.seconds, 3),
        "errors": [{"message": str(error), "exit_code": error.exit_code} for error in night.errors],
    }


def describe_load(load: Loaded) -> dict[str, Any]:
    """One account's load as JSON."""
    error = load.error
    told = None if error is None else {"message": str(error), "exit_code": error.exit_code}
    return {**vars(load), "error": told}
