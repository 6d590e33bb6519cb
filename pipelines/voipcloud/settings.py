"""One PBX's settings, each checked. A wrong one raises `SettingsError` with the ways to set it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pipelines.budget import Budget, Limits
from pipelines.errors import SettingsError
from pipelines.files import home
from pipelines.voipcloud.client import NAMES_PARAMETER, Access
from pipelines.voipcloud.coverage import Rules
from pipelines.voipcloud.setting_lookup import SECTION, account_names, check_keys, find_setting, how_to_set
from pipelines.voipcloud.setting_values import (
    parse_base_url,
    parse_key,
    parse_ledger,
    parse_names,
    parse_not_negative,
    parse_positive,
    parse_span,
    parse_start,
    parse_whole,
    parse_zone,
)

DEFAULT_TIMEZONE = "UTC"
DEFAULTS: dict[str, float] = {
    "settle_hours": 24,  # how long after a day's end the PBX may still add to it
    "open_call_days": 7,  # a call unfinished for longer will never end
    "package_pages": 25,  # pages loaded at once: the most that an interruption reads again
    "timeout_seconds": 60,  # one request, from its first byte to the last byte of its answer
    "budget.requests": 100,
    "budget.window_seconds": 900,
    "budget.reserve_interactive": 5,
}
BUDGET_KEYS = {"ledger", *(key.removeprefix("budget.") for key in DEFAULTS if key.startswith("budget."))}
KEYS = {
    *("base_url", "api_key", "timezone", "start_date", "budget", "accounts", *NAMES_PARAMETER.values()),
    *(key for key in DEFAULTS if "." not in key),
}
# Each account has its own staging dataset, and dlt writes two _ as one: two such names would share it.
NAME = re.compile(r"(?=.{1,40}\Z)[a-z](_?[a-z0-9])*")
T = TypeVar("T")


@dataclass(frozen=True)
class Account:
    """One PBX: how to reach it, what to ask for, and what it may cost.

    `start_date` is a UTC day: the one on which the day that was set begins in `timezone`. Older calls are left out.
    """

    name: str
    access: Access
    timezone: str
    start_date: date | None
    names: Mapping[str, str]  # names filter by endpoint; '' is all
    limits: Limits
    ledger: Path | str = field(repr=False)  # a file, or a Postgres URL, which may hold a password
    rules: Rules
    package_pages: int
    warnings: tuple[str, ...] = field(default=())

    def open_budget(self) -> Budget:
        """The ledger that every run and process sharing the account's key counts in."""
        return Budget(self.ledger, self.host, self.access.api_key, self.limits)

    @property
    def host(self) -> str:
        """The PBX's host, with its port unless that is the usual one. The budget is counted per host."""
        parts = urlsplit(self.access.base_url)
        name = (parts.hostname or "").rstrip(".")
        return name if parts.port in (None, {"https": 443, "http": 80}[parts.scheme]) else f"{name}:{parts.port}"


def read_accounts(only: tuple[str, ...] = ()) -> list[Account]:
    """All accounts that are set up, or those named in `only`, in their order of appearance."""
    return [read_account(name) for name in account_names(only)]


def read_sound_accounts(only: tuple[str, ...] = ()) -> tuple[list[Account], dict[str, SettingsError]]:
    """The accounts whose settings can be used, and the error of each other one. Raises if all are wrong."""
    sound: list[Account] = []
    wrong: dict[str, SettingsError] = {}
    for name in account_names(only):
        try:
            sound.append(read_account(name))
        except SettingsError as error:
            wrong[name] = error
    if wrong and not sound:
        raise next(iter(wrong.values()))
    return sound, wrong


def read_account(name: str) -> Account:
    """One account's settings, each checked."""
    _check_names(name)
    zone = _get(name, "timezone", parse_zone)
    base_url = _get(name, "base_url", parse_base_url)
    if base_url is None:
        raise SettingsError(
            f"{name}: the setting base_url is missing: the PBX's own address, https://…. {how_to_set(name, 'base_url')}"
        )
    limits = Limits(
        requests=_or_default(name, "budget.requests", parse_whole),
        window_seconds=_or_default(name, "budget.window_seconds", parse_positive),
        reserve_interactive=int(_or_default(name, "budget.reserve_interactive", parse_not_negative)),
    )
    return Account(
        name=name,
        access=Access(
            account=name,
            base_url=base_url,
            api_key=_api_key(name),
            timeout_seconds=_or_default(name, "timeout_seconds", parse_positive),
            window_seconds=limits.window_seconds,
        ),
        timezone=zone or DEFAULT_TIMEZONE,
        start_date=_get(name, "start_date", partial(parse_start, zone=zone or DEFAULT_TIMEZONE)),
        names={endpoint: _get(name, key, parse_names) or "" for endpoint, key in NAMES_PARAMETER.items()},
        limits=limits,
        ledger=_get(name, "budget.ledger", parse_ledger) or home() / "ledger.sqlite",
        rules=Rules(
            settle_hours=_or_default(name, "settle_hours", parse_span),
            open_call_days=int(_or_default(name, "open_call_days", parse_span)),
        ),
        package_pages=_or_default(name, "package_pages", parse_whole),
        warnings=() if zone else (f"{name}: timezone is not set, so it is UTC. {how_to_set(name, 'timezone')}",),
    )


def _check_names(name: str) -> None:
    """The account's name, and the names of all its settings."""
    if not NAME.fullmatch(name):
        raise SettingsError(
            f"The account name '{name}' cannot be used: lower-case letters and digits, with single _ between "
            "them, 40 at most."
        )
    check_keys(SECTION, KEYS)
    check_keys(f"{SECTION}.accounts.{name}", KEYS - {"accounts"})
    check_keys(f"{SECTION}.budget", BUDGET_KEYS)
    check_keys(f"{SECTION}.accounts.{name}.budget", BUDGET_KEYS)


def _get(name: str, key: str, parse: Callable[[Any], T]) -> T | None:
    value = find_setting(name, key)
    if value is None or value == "":
        return None
    try:
        return parse(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise SettingsError(f"{name}: the setting {key} cannot be used: {error}. {how_to_set(name, key)}") from None


def _or_default(name: str, key: str, parse: Callable[[Any], T]) -> T:
    found = _get(name, key, parse)
    return parse(DEFAULTS[key]) if found is None else found


def _api_key(name: str) -> str:
    key = find_setting(name, "api_key", is_secret=True)
    if key is None or not str(key).strip():
        raise SettingsError(
            f"{name}: the setting api_key is missing: the PBX's portal shows it under Billing, Edit details. "
            f"{how_to_set(name, 'api_key', is_secret=True)}"
        )
    try:
        return parse_key(key)
    except ValueError as error:
        raise SettingsError(f"{name}: the setting api_key {error}.") from None
