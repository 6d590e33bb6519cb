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
    parse_number,
    parse_start,
    parse_zone,
)

DEFAULT_TIMEZONE = "UTC"
parse_span = partial(parse_number, most=36_500)  # hours or days
parse_positive = partial(parse_number, can_be_zero=False)
parse_count = partial(parse_positive, is_whole=True)
NUMBERS: Mapping[str, tuple[float, Callable[[Any], float]]] = {  # by default, and how each is parsed
    "settle_hours": (24, parse_span),  # how long after a day's end the PBX may still add to it
    "open_call_days": (7, parse_span),  # a call unfinished for longer will never end
    "package_pages": (25, parse_count),  # pages loaded at once: the most that an interruption reads again
    "timeout_seconds": (60, parse_positive),  # one request, from its first byte to the last byte of its answer
    "budget.requests": (100, parse_count),
    "budget.window_seconds": (900, parse_positive),
    "budget.reserve_interactive": (5, parse_number),
}
KEYS = {"base_url", "api_key", "timezone", "start_date", "budget.ledger", *NAMES_PARAMETER.values(), *NUMBERS}
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
    base_url = _require(name, "base_url", parse_base_url, "the PBX's own address, https://…")
    numbers = {
        key: default if (found := _get(name, key, parse)) is None else found
        for key, (default, parse) in NUMBERS.items()
    }
    limits = Limits(
        requests=int(numbers["budget.requests"]),
        window_seconds=numbers["budget.window_seconds"],
        reserve_interactive=int(numbers["budget.reserve_interactive"]),
    )
    return Account(
        name=name,
        access=Access(
            account=name,
            base_url=base_url,
            api_key=_require(name, "api_key", parse_key, "the PBX's portal shows it under Billing, Edit details"),
            timeout_seconds=numbers["timeout_seconds"],
            window_seconds=limits.window_seconds,
        ),
        timezone=zone or DEFAULT_TIMEZONE,
        start_date=_get(name, "start_date", partial(parse_start, zone=zone or DEFAULT_TIMEZONE)),
        names={endpoint: _get(name, key, parse_names) or "" for endpoint, key in NAMES_PARAMETER.items()},
        limits=limits,
        ledger=_get(name, "budget.ledger", parse_ledger) or home() / "ledger.sqlite",
        rules=Rules(settle_hours=numbers["settle_hours"], open_call_days=int(numbers["open_call_days"])),
        package_pages=int(numbers["package_pages"]),
        warnings=() if zone else (f"{name}: timezone is not set, so it is UTC. {how_to_set(name, 'timezone')}",),
    )


def _check_names(name: str) -> None:
    """The account's name, and the names of all its settings."""
    if not NAME.fullmatch(name):
        raise SettingsError(
            f"The account name '{name}' cannot be used: lower-case letters and digits, with single _ between "
            "them, 40 at most."
        )
    known = {key.split(".")[0] for key in KEYS}
    in_budget = {key.removeprefix("budget.") for key in KEYS if key.startswith("budget.")}
    for section, keys in ((SECTION, known | {"accounts"}), (f"{SECTION}.accounts.{name}", known)):
        check_keys(section, keys)
        check_keys(f"{section}.budget", in_budget)


def _get(name: str, key: str, parse: Callable[[Any], T]) -> T | None:
    value = find_setting(name, key)
    if value is None or not str(value).strip():
        return None
    try:
        return parse(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise SettingsError(f"{name}: the setting {key} cannot be used: {error}. {how_to_set(name, key)}") from None


def _require(name: str, key: str, parse: Callable[[Any], T], what: str) -> T:
    found = _get(name, key, parse)
    if found is None:
        raise SettingsError(f"{name}: the setting {key} is missing: {what}. {how_to_set(name, key)}")
    return found
