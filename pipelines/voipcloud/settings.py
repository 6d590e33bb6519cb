"""Settings, from dlt's own layers: environment, `.dlt/secrets.toml`, `.dlt/config.toml`; section `[sources.voipcloud]`.

Several PBXs stand in `[sources.voipcloud.accounts.<name>]` with the same keys, each taking what it lacks from the
section above, but for the key. One alone is named `main`. A wrong setting raises `SettingsError` with the ways to set
it.
"""

import difflib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlsplit

import dlt

from pipelines.budget import Limits
from pipelines.budget.sessions import check_url, is_url
from pipelines.errors import SettingsError, UsageError
from pipelines.files import full_path, home
from pipelines.time_zones import read_zone
from pipelines.voipcloud.client import NAMES_PARAMETER, Access
from pipelines.voipcloud.coverage import Rules, check_day

SECTION = "sources.voipcloud"
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
DEFAULT_TIMEZONE = "UTC"
DEFAULTS: dict[str, float] = {
    "settle_hours": 24,  # the PBX may still add to a day for as long after it ended
    "open_call_days": 7,  # a call unfinished for longer will never end
    "package_pages": 25,  # pages loaded at once: the most that an interruption reads again
    "timeout_seconds": 60,  # one request, from its first byte to the answer's last
}
BUDGET_DEFAULTS: dict[str, float] = {"requests": 100, "window_seconds": 900, "reserve_interactive": 5}
BUDGET_KEYS = {"ledger", *BUDGET_DEFAULTS}
KEYS = {"base_url", "api_key", "timezone", "start_date", "budget", "accounts", *DEFAULTS, *NAMES_PARAMETER.values()}
# As dlt would have it, too: it writes two _ as one, so that two such accounts would share a staging dataset.
NAME = re.compile(r"(?=.{1,40}\Z)[a-z](_?[a-z0-9])*")
LONGEST = 36_500  # as hours or days: what a setting of time may be
SOME_URL = re.compile(r"[a-z][a-z0-9+.]+:/", re.IGNORECASE)
T = TypeVar("T")


@dataclass(frozen=True)
class Account:
    """One PBX: how to reach it, what to ask for, and what it may cost."""

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

    @property
    def host(self) -> str:
        """The PBX's host, and its port where that is not the usual, as the budget is counted by."""
        parts = urlsplit(self.access.base_url)
        name = (parts.hostname or "").rstrip(".")
        return name if parts.port in (None, {"https": 443, "http": 80}[parts.scheme]) else f"{name}:{parts.port}"


def read_accounts(only: tuple[str, ...] = ()) -> list[Account]:
    """Every account that is set up, or those named in `only`, in their order of appearance."""
    return [read_account(name) for name in account_names(only)]


def read_sound_accounts(only: tuple[str, ...] = ()) -> tuple[list[Account], dict[str, SettingsError]]:
    """The accounts whose settings can be used, and what is wrong with each of the others. Raises if all are wrong."""
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
    if not NAME.fullmatch(name):
        raise SettingsError(
            f"The account name '{name}' cannot be used: lower-case letters and digits, with single _ between "
            "them, 40 at most."
        )
    _check_keys(name)
    zone = _get(name, "timezone", _zone)
    base_url = _get(name, "base_url", _base_url)
    limits = _limits(name)
    warnings = () if zone else (f"{name}: timezone is not set, so UTC is taken. {_ways(name, 'timezone')}",)
    return Account(
        name=name,
        access=Access(
            account=name,
            base_url=_required(name, "base_url", base_url, "the PBX's own address, https://…"),
            api_key=_api_key(name),
            timeout_seconds=_or_default(name, "timeout_seconds", _positive),
            window_seconds=limits.window_seconds,
        ),
        timezone=zone or DEFAULT_TIMEZONE,
        start_date=_get(name, "start_date", _date),
        names={endpoint: _get(name, key, _names) or "" for endpoint, key in NAMES_PARAMETER.items()},
        limits=limits,
        ledger=_budget(name, "ledger", _ledger) or home() / "ledger.sqlite",
        rules=Rules(
            settle_hours=_or_default(name, "settle_hours", _time),
            open_call_days=int(_or_default(name, "open_call_days", _time)),
        ),
        package_pages=int(_or_default(name, "package_pages", _whole)),
        warnings=warnings,
    )


def account_names(only: tuple[str, ...] = ()) -> list[str]:
    """The names of every account that is set up, or of those in `only`. Raises `UsageError` for one that is not."""
    names = list(dict.fromkeys(section_keys(f"{SECTION}.accounts"))) or ["main"]
    for name in only:
        if name not in names:
            raise UsageError(f"There is no account '{name}'{meant(name, names) or '.'} Set up: {', '.join(names)}.")
    return [name for name in names if not only or name in only]


def parse_setting(key: str, value: str) -> Any:
    """What somebody typed for `base_url`, `api_key`, `timezone` or `start_date`. Raises `ValueError`, saying why."""
    parse: Callable[[Any], Any] = {"base_url": _base_url, "api_key": _key, "timezone": _zone, "start_date": _date}[key]
    return parse(value)


def _is_alone(name: str) -> bool:
    return name == "main" and account_names() == ["main"] and not dlt.config.get(f"{SECTION}.accounts.main")


def _raw(name: str, key: str, *, secret: bool = False) -> Any:
    """The account's own value, or the one of the section above."""
    source = dlt.secrets if secret else dlt.config
    own: Any = source.get(f"{SECTION}.accounts.{name}.{key}")
    if own is None and (not secret or _is_alone(name)):
        own = source.get(f"{SECTION}.{key}")
    return own


def _get(name: str, key: str, parse: Callable[[Any], T]) -> T | None:
    value = _raw(name, key)
    if value is None or value == "":
        return None
    try:
        return parse(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise SettingsError(f"{name}: the setting {key} cannot be used: {error}. {_ways(name, key)}") from None


def _or_default(name: str, key: str, parse: Callable[[Any], float]) -> float:
    value = _get(name, key, parse)
    return float(DEFAULTS[key]) if value is None else value


def _budget(name: str, key: str, parse: Callable[[Any], T]) -> T | None:
    return _get(name, f"budget.{key}", parse)


def _limits(name: str) -> Limits:
    def of(key: str, parse: Callable[[Any], float]) -> float:
        value = _budget(name, key, parse)
        return float(BUDGET_DEFAULTS[key]) if value is None else value

    return Limits(
        requests=int(of("requests", _whole)),
        window_seconds=of("window_seconds", _positive),
        reserve_interactive=int(of("reserve_interactive", _not_negative)),
    )


def _required(name: str, key: str, value: T | None, what: str) -> T:
    if value is None:
        raise SettingsError(f"{name}: the setting {key} is missing: {what}. {_ways(name, key)}")
    return value


def _api_key(name: str) -> str:
    key = _raw(name, "api_key", secret=True)
    if key is None or not str(key).strip():
        raise SettingsError(
            f"{name}: the setting api_key is missing: the PBX's portal shows it under Billing, Edit details. "
            f"{_ways(name, 'api_key', secret=True)}"
        )
    try:
        return _key(key)
    except ValueError as error:
        raise SettingsError(f"{name}: the setting api_key {error}.") from None


def _ways(name: str, key: str, *, secret: bool = False) -> str:
    alone = _is_alone(name)
    section = SECTION if alone else f"{SECTION}.accounts.{name}"
    file = "secrets.toml" if secret else "config.toml"
    if key == "budget.ledger":
        file += ", or secrets.toml if it holds a password,"
    if "." in key:
        subsection, key = key.split(".")
        section = f"{section}.{subsection}"
    variable = f"{section}.{key}".replace(".", "__").upper()
    return f"Set {key} in [{section}] of .dlt/{file} in the folder you run from ({Path.cwd().name}/), or {variable}."


def _check_keys(name: str) -> None:
    """A misspelt setting would silently be a default."""
    for path, known in (
        (SECTION, KEYS),
        (f"{SECTION}.accounts.{name}", KEYS - {"accounts"}),
        (f"{SECTION}.budget", BUDGET_KEYS),
        (f"{SECTION}.accounts.{name}.budget", BUDGET_KEYS),
    ):
        for key in section_keys(path):
            if key not in known:
                raise SettingsError(f"[{path}] has no setting '{key}'{meant(key, known) or '.'}")


def section_keys(path: str) -> Iterator[str]:
    """A section's keys over all of dlt's layers; dlt itself looks no further than the first that has the section."""
    *sections, name = path.split(".")
    for layer in dlt.config.config_providers:
        table, _ = layer.get_value(name, Any, "", *sections)
        yield from table if isinstance(table, Mapping) else ()
    prefix = path.replace(".", "__").upper() + "__"
    for variable in os.environ:
        if variable.startswith(prefix):
            yield variable.removeprefix(prefix).split("__")[0].lower()


def meant(word: str, known: Iterable[str]) -> str:
    """What to add to a message about a word that is not known: the one that was meant, if one is near."""
    close = difflib.get_close_matches(word, sorted(known), 1)
    return f"; did you mean '{close[0]}'?" if close else ""


def _key(value: Any) -> str:
    text = str(value).strip()
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError("holds characters that no key has: copy it again")
    return text


def _zone(value: Any) -> str:
    return read_zone(str(value)).key


def _base_url(value: Any) -> str:
    parts = urlsplit(str(value).strip())
    if parts.scheme not in ("https", "http") or not _is_host(parts) or parts.query or parts.fragment:
        raise ValueError("it has to be an address such as https://au.voipcloud.online")
    if parts.username or parts.password:
        raise ValueError("it holds a user or password, which would be shown in messages; the key goes into api_key")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise ValueError("http would send the key in the clear; only https is taken, but for this machine itself")
    return str(value).strip().rstrip("/")


def _ledger(value: Any) -> Path | str:
    text = str(value).strip()
    if is_url(text):
        check_url(text)
        return text
    if SOME_URL.match(text) or "password=" in text:  # as a file's name it would be shown
        raise ValueError("it is neither a file nor a Postgres URL, which begins with postgresql://")
    return full_path(text)


def _is_host(parts: SplitResult) -> bool:
    try:
        name, _port = (parts.hostname or "").encode("idna"), parts.port
    except ValueError:  # no port, or no name that could be looked up
        return False
    return re.fullmatch(rb"[a-z0-9._:-]+", name) is not None


def _date(value: Any) -> date:
    try:
        day = value if isinstance(value, date) else date.fromisoformat(str(value))
    except ValueError:
        raise ValueError(f"'{value}' is no date such as 2026-01-31") from None
    check_day(day)
    return day


def _names(value: Any) -> str:
    if isinstance(value, str) and value.lstrip().startswith("["):  # a list, as an environment variable holds it
        value = json.loads(value)
    names = value if isinstance(value, list) else [part.strip() for part in str(value).split(",")]
    for one in names:
        if "," in str(one):
            raise ValueError(
                f"the PBX separates names by commas, so it cannot be asked for '{one}': leave the filter out"
            )
    return ",".join(sorted({str(one).strip() for one in names if str(one).strip()}))


def _positive(value: Any) -> float:
    number = _not_negative(value)
    if number <= 0:
        raise ValueError("it has to be more than 0")
    return number


def _not_negative(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError("it has to be a number") from None
    if not 0 <= number < 1e9:
        raise ValueError("it has to be 0 or more, and less than a thousand million")
    return number


def _time(value: Any) -> float:
    number = _not_negative(value)
    if number > LONGEST:
        raise ValueError(f"it has to be {LONGEST} at most")
    return number


def _whole(value: Any) -> float:
    number = _positive(value)
    if number != int(number):
        raise ValueError("it has to be a whole number")
    return number
