"""The nightly job: load → build → publish, and one summary of it.

What one account could not load does not keep the others from being built and published; models or tests that fail keep
everything as it was published before.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pipelines.errors import CallsError
from pipelines.loading import Loaded, Watcher, Wish, load_account
from pipelines.models import ModelResult, build_models
from pipelines.publishing import Published, publish
from pipelines.settings import Account, home
from pipelines.warehouse import Target, open_for_writing

BuildProgress = Callable[[str, int, int], None]


@dataclass
class Night:
    """What a night did; `errors` in the order in which they came."""

    loads: list[Loaded] = field(default_factory=list)
    models: list[ModelResult] = field(default_factory=list)
    published: Published | None = None
    seconds: float = 0.0
    errors: list[CallsError] = field(default_factory=list)


def run_night(accounts: list[Account], target: Target, wish: Wish, watcher: Watcher, on_build: BuildProgress) -> Night:
    """Runs every step that can still do good. Never raises what can be told of it."""
    night, begun = Night(), time.monotonic()
    night.loads = load_accounts(accounts, target, wish, watcher)
    night.errors = [load.error for load in night.loads if load.error]
    try:
        if any(load.packages for load in night.loads) or not night.errors:
            night.models = build(target, on_build)
            night.published = publish(target)
    except CallsError as error:
        night.errors.append(error)
    night.seconds = time.monotonic() - begun
    return night


def load_accounts(accounts: list[Account], target: Target, wish: Wish, watcher: Watcher) -> list[Loaded]:
    """Loads account by account; one's error is kept in its `Loaded`. A signal leaves out those that are left."""
    loads: list[Loaded] = []
    for account in accounts:
        loads.append(load_account(account, target, wish, watcher))
        if watcher.stop():
            break
    return loads


def build(target: Target, on_build: BuildProgress, *, full_refresh: bool = False) -> list[ModelResult]:
    """Builds and tests the models, while nobody else can write the warehouse."""
    with open_for_writing(target):
        return build_models(target, home() / "dbt", full_refresh=full_refresh, on_progress=on_build)


def summarize(night: Night) -> dict[str, Any]:
    """The night as JSON."""
    return {
        "loads": [describe_load(load) for load in night.loads],
        "models": [vars(model) for model in night.models],
        "published": vars(night.published) if night.published else None,
        "seconds": round(night.seconds, 3),
        "errors": [{"message": str(error), "exit_code": error.exit_code} for error in night.errors],
    }


def describe_load(load: Loaded) -> dict[str, Any]:
    """One account's load as JSON."""
    error = load.error
    told = None if error is None else {"message": str(error), "exit_code": error.exit_code}
    return {**vars(load), "error": told}
