"""Single settings, from what somebody wrote to a checked value. Each function raises `ValueError`, saying why."""

import json
import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import pendulum
from pendulum.tz.exceptions import AmbiguousTime, NonExistingTime

from pipelines.budget.sessions import check_url, is_url
from pipelines.files import full_path
from pipelines.time_zones import read_zone
from pipelines.voipcloud.coverage import check_day

LOOPBACK = {"localhost", "127.0.0.1", "::1"}
SOME_URL = re.compile(r"[a-z][a-z0-9+.]+:/", re.IGNORECASE)


def parse_key(value: Any) -> str:
    """An API key."""
    text = str(value).strip()
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError("it holds characters that no key has: copy it again")
    return text


def parse_zone(value: Any) -> str:
    """The name of an IANA time zone."""
    return read_zone(str(value)).key


def parse_base_url(value: Any) -> str:
    """A PBX's address, without a slash at its end: https, or http on this machine."""
    parts = urlsplit(str(value).strip())
    if parts.scheme not in ("https", "http") or not _has_host(parts) or parts.query or parts.fragment:
        raise ValueError("it has to be an address such as https://au.voipcloud.online")
    if parts.username or parts.password:
        raise ValueError("it holds a user or password, which messages would show; the key goes into api_key")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise ValueError("http would send the key in the clear; only https is accepted, except on this machine")
    return str(value).strip().rstrip("/")


def _has_host(parts: SplitResult) -> bool:
    try:
        name, _port = (parts.hostname or "").encode("idna"), parts.port
    except ValueError:  # no port number, or no name that a lookup accepts
        return False
    return re.fullmatch(rb"[a-z0-9._:-]+", name) is not None


def parse_ledger(value: Any) -> Path | str:
    """Where requests are counted: the full path of a file, or a Postgres URL."""
    text = str(value).strip()
    if is_url(text):
        check_url(text)
        return text
    if SOME_URL.match(text) or "password=" in text:  # a file's name would be shown
        raise ValueError("it is neither a file nor a Postgres URL, which begins with postgresql://")
    return full_path(text)


def parse_day(value: Any) -> date:
    """A date, as TOML has it or as text."""
    try:
        day = date.fromisoformat(str(value))
    except ValueError:
        raise ValueError(f"'{value}' is no date such as 2026-01-31") from None
    check_day(day)
    return day


def parse_start(value: Any, zone: str) -> date:
    """The UTC day on which a local day begins: `2026-01-01` in Australia/Sydney begins on 2025-12-31 in UTC.

    A midnight that comes twice counts as the first one. Raises `ValueError` also if the clocks skip midnight that day.
    """
    day, place = parse_day(value), read_zone(zone)
    try:
        midnight = pendulum.datetime(day.year, day.month, day.day, tz=place, raise_on_unknown_times=True)
    except AmbiguousTime:
        midnight = pendulum.datetime(day.year, day.month, day.day, tz=place, fold=0)
    except NonExistingTime:
        raise ValueError(f"{day} has no midnight in {zone}, where the clocks go forward: take the day before") from None
    return datetime.fromtimestamp(midnight.timestamp(), UTC).date()


def parse_names(value: Any) -> str:
    """Names of users, queues or ring groups, as the PBX takes them: sorted, with commas between."""
    if isinstance(value, str) and value.lstrip().startswith("["):  # a list in an environment variable
        value = json.loads(value)
    names = value if isinstance(value, list) else [part.strip() for part in str(value).split(",")]
    for name in names:
        if "," in str(name):
            raise ValueError(
                f"the PBX separates names by commas, so it cannot be asked for '{name}': leave the filter out"
            )
    return ",".join(sorted({str(name).strip() for name in names if str(name).strip()}))


def parse_number(value: Any, *, most: float = 1e9, can_be_zero: bool = True, is_whole: bool = False) -> float:
    """A number from 0 to `most`."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError("it has to be a number") from None
    if not 0 <= number <= most:
        raise ValueError(f"it has to be 0 or more, and {most:,.0f} at most")
    if number == 0 and not can_be_zero:
        raise ValueError("it has to be more than 0")
    if is_whole and not number.is_integer():
        raise ValueError("it has to be a whole number")
    return number
