"""`calls init`: asks for what a load needs, and writes it into `.dlt/`, settings and secrets in files of their own.

Each answer is parsed as the settings will be. What the files hold is offered, and replaced only after a yes.
"""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click

from pipelines.cli.init.answers import (
    POSTGRES,
    local_zone,
    parse_address,
    parse_start,
    parse_warehouse,
    parse_zone,
    with_password,
)
from pipelines.cli.init.git_ignored import offer_to_ignore
from pipelines.cli.init.toml_files import get_value, read_toml, set_value, write_private
from pipelines.cli.output import say_warning
from pipelines.errors import UsageError
from pipelines.voipcloud.setting_lookup import SECTION
from pipelines.voipcloud.setting_values import parse_key

CONFIG, SECRETS = "config.toml", "secrets.toml"
BY_HAND = (
    "calls init asks, so it needs a terminal. Without one, set base_url, timezone and, if you want, start_date in "
    f"[{SECTION}] of .dlt/config.toml, and api_key in [{SECTION}] of .dlt/secrets.toml; or "
    "SOURCES__VOIPCLOUD__BASE_URL, …__TIMEZONE, …__START_DATE, …__API_KEY. The warehouse: credentials in "
    "[destination.duckdb] (a file) or [destination.postgres] (a URL), or "
    "DESTINATION__DUCKDB__CREDENTIALS, DESTINATION__POSTGRES__CREDENTIALS."
)


@dataclass(frozen=True)
class Setting:
    """A setting, as it was answered, and its file. One of the secrets is never shown."""

    section: str
    key: str
    value: Any
    file: str = CONFIG


def set_up(folder: Path) -> str | None:
    """Ask, write, and return the warehouse's engine if everything is to be checked now.

    Raises `UsageError` without a terminal, and if several PBXs are set up.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(BY_HAND)
    texts = {name: read_toml(folder / name) for name in (SECRETS, CONFIG)}
    if _find(texts, SECTION, "accounts"):
        raise UsageError(
            f"Several PBXs are set up here. Write each one's settings into [{SECTION}.accounts.<name>] of "
            f"{folder}/config.toml, and its key into the same section of secrets.toml; then: calls doctor."
        )
    click.echo(
        f"This writes {folder}/config.toml and {folder}/secrets.toml in {Path.cwd()}. Enter takes what is in []."
    )
    settings = _ask_all(texts)
    for setting in settings:
        if setting.value is not None:
            _put(texts, setting)
    offer_to_ignore(folder / SECRETS)
    for name, text in texts.items():
        write_private(folder / name, text)
    click.echo(f"Written: {folder}/config.toml, and {folder}/secrets.toml, which only you can read.")
    for setting in settings:
        variable = f"{setting.section}.{setting.key}".replace(".", "__").upper()
        if setting.value is not None and os.environ.get(variable):
            say_warning(f"{variable} is set, and overrides what was written.")
    engine = settings[-1].section.removeprefix("destination.")
    if engine == "postgres":
        click.echo("Add --destination postgres to each command; without it they use DuckDB.")
    return engine if click.confirm("Check all of it now? It costs one of the PBX's requests.", default=True) else None


def _ask_all(texts: Mapping[str, str]) -> list[Setting]:
    """Every question's answer, in the order of the README, the warehouse last. A value of None keeps what is there."""
    base_url, zone, start, key = (
        _find(texts, SECTION, name) for name in ("base_url", "timezone", "start_date", "api_key")
    )
    address = _ask("The PBX's address, https://…", parse_address, base_url)
    key = _ask_key(has_key=_is_key(key))
    zone = _ask("The PBX's time zone", parse_zone, zone or local_zone())
    start = _ask("First day to load, empty for all there is", partial(parse_start, zone=zone), start or "")
    return [
        Setting(SECTION, "base_url", address),
        Setting(SECTION, "api_key", key, SECRETS),
        Setting(SECTION, "timezone", zone),
        Setting(SECTION, "start_date", start),
        _ask_warehouse(texts),
    ]


def _ask(question: str, parse: Callable[[str], Any], default: Any = None, *, is_hidden: bool = False) -> Any:
    """Ask until the answer can be used."""
    shown = None if default is None else str(default)
    while True:
        typed = click.prompt(question, default=shown, show_default=bool(shown) and not is_hidden, hide_input=is_hidden)
        try:
            return parse(str(typed).strip())
        except ValueError as error:
            click.echo(f"  That cannot be used: {error}".rstrip(".") + ("" if str(error).endswith("?") else "."))


def _ask_key(*, has_key: bool) -> str | None:
    """The key; None to keep the one there is."""
    question = "Its API key (Billing, Edit details; not shown)"
    if not has_key:
        return str(_ask(question, parse_key, is_hidden=True))
    typed = _ask(f"{question}, empty to keep it", lambda typed: typed and parse_key(typed), "", is_hidden=True)
    return typed or None


def _ask_warehouse(texts: Mapping[str, str]) -> Setting:
    is_postgres = _find(texts, "destination.postgres", "credentials") is not None
    before = _find(texts, "destination.duckdb", "credentials") or ("" if is_postgres else "warehouse.duckdb")
    kept = "" if before else ", empty to keep the Postgres that is set"
    question = f"Warehouse: a DuckDB file, or a Postgres URL without its password{kept}"
    typed = _ask(question, lambda typed: typed and parse_warehouse(typed), before)
    if typed.startswith(POSTGRES):
        password = _ask("Password of that login, empty for none (not shown)", str, "", is_hidden=True)
        typed = with_password(typed, password)
    elif typed:
        return Setting("destination.duckdb", "credentials", typed)
    return Setting("destination.postgres", "credentials", typed or None, SECRETS)


def _is_key(value: Any) -> bool:
    """Whether it can be a key: the example's `paste the key here` cannot."""
    try:
        return bool(value) and bool(parse_key(value))
    except ValueError:
        return False


def _find(texts: Mapping[str, str], section: str, key: str) -> Any:
    """A setting's value in either file, or None."""
    found = (get_value(text, section, key) for text in texts.values())
    return next((value for value in found if value is not None), None)


def _put(texts: dict[str, str], setting: Setting) -> None:
    """Put a setting into its file's text. Replaces a value that is there only after a yes."""
    section, key, value, name = setting.section, setting.key, setting.value, setting.file
    before = get_value(texts[name], section, key)
    if before == value:
        return
    if name == SECRETS and get_value(texts[CONFIG], section, key) is not None:
        say_warning(f"{CONFIG} holds {key} as well. Remove it there: it is a secret.")
    if isinstance(before, dict):
        say_warning(f"{name} has {key} in parts, in a section of its own; it was left as it is.")
        return
    is_example = key == "api_key" and not _is_key(before)
    if before is not None and not is_example:
        change = "Replace it" if name == SECRETS else f"It is {before}. Change it to {value}"
        if not click.confirm(f"{name} has {key} in [{section}]. {change}?"):
            return
    texts[name] = set_value(texts[name], section, key, value)
