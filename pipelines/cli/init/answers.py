"""Parses what people type when asked for settings, as the settings are parsed. Each raises `ValueError`, saying why."""

import difflib
from datetime import date
from urllib.parse import quote, urlsplit, urlunsplit

import pendulum
import psycopg2
from psycopg2.extensions import parse_dsn

from pipelines.errors import SettingsError
from pipelines.files import full_path
from pipelines.time_zones import zone_names
from pipelines.voipcloud import setting_values

SUGGESTIONS = 3
POSTGRES = ("postgresql://", "postgres://")


def parse_address(typed: str) -> str:
    """A PBX's address; without a scheme it is https."""
    return setting_values.parse_base_url(typed if "://" in typed else f"https://{typed}")


def parse_zone(typed: str) -> str:
    """An IANA time zone in any spelling of case and spaces. The error for an unknown name suggests the nearest ones."""
    names = {name.casefold(): name for name in zone_names()}
    if found := names.get(typed.replace(" ", "_").casefold()):
        return found
    try:
        return setting_values.parse_zone(typed)
    except ValueError as error:
        near = suggest_zones(typed)
        raise ValueError(f"{error}; did you mean {' or '.join(near)}?" if near else str(error)) from None


def suggest_zones(typed: str) -> list[str]:
    """The time zones nearest to what was typed, by their whole name or by their city."""
    spellings: dict[str, str] = {}
    for name in sorted(zone_names()):
        if "/" in name and not name.startswith("Etc/"):
            spellings[name.casefold()] = name
            spellings.setdefault(name.rpartition("/")[2].casefold(), name)
    wanted = typed.replace(" ", "_").casefold()
    near = difflib.get_close_matches(wanted, spellings, 2 * SUGGESTIONS, 0.7)
    return list(dict.fromkeys(spellings[spelling] for spelling in near))[:SUGGESTIONS]


def local_zone() -> str | None:
    """This machine's time zone, if it has an IANA name."""
    try:
        return parse_zone(pendulum.now().timezone_name or "")
    except (ValueError, RuntimeError, OSError):
        return None


def parse_start(typed: str, zone: str) -> date | None:
    """A day that has a midnight in the time zone, or None if nothing was typed."""
    if not typed:
        return None
    setting_values.parse_start(typed, zone)
    return setting_values.parse_day(typed)


def parse_warehouse(typed: str) -> str:
    """A DuckDB file in a folder that exists, or a Postgres URL."""
    if typed.startswith(POSTGRES):
        try:
            parse_dsn(typed)
        except psycopg2.Error:
            raise ValueError("it is no URL such as postgresql://calls@db.example:5432/warehouse") from None
        return typed
    if "://" in typed.removeprefix("duckdb:///"):
        raise ValueError("it is neither a file nor a URL that begins with postgresql://")
    try:
        path = full_path(typed.removeprefix("duckdb:///"))
    except SettingsError as error:
        raise ValueError(str(error).rstrip(".")) from None
    if path.is_dir() or not path.parent.is_dir():
        raise ValueError(f"{path} is a folder" if path.is_dir() else f"there is no folder {path.parent}")
    return typed


def with_password(url: str, password: str) -> str:
    """The URL with the password, unless it has one already or names no login."""
    parts = urlsplit(url)
    login, at, place = parts.netloc.rpartition("@")
    if not password or not at or ":" in login:
        return url
    return urlunsplit(parts._replace(netloc=f"{login}:{quote(password, safe='')}@{place}"))
