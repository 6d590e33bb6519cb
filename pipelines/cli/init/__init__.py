"""`calls init`: asks for what a load needs, and writes it into `.dlt/`, settings and secrets in files of their own.

Each answer is parsed as the settings will be. What the files hold is offered, and replaced only after a yes.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click

from pipelines.cli.init.answers import (
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

FILES = {False: "config.toml", True: "secrets.toml"}  # by whether it holds secrets
BY_HAND = (
    "calls init asks, so it needs a terminal. Without one, set base_url, timezone and, if you want, start_date in "
    f"[{SECTION}] of .dlt/config.toml, and api_key in [{SECTION}] of .dlt/secrets.toml; or "
    "SOURCES__VOIPCLOUD__BASE_URL, …__TIMEZONE, …__START_DATE, …__API_KEY. The warehouse: credentials in "
    "[destination.duckdb] (a file) or [destination.postgres] (a URL), or "
    "DESTINATION__DUCKDB__CREDENTIALS, DESTINATION__POSTGRES__CREDENTIALS."
)


@dataclass(frozen=True)
class Setting:
    """A setting, as it was answered. A secret one is never shown."""

    section: str
    key: str
    value: Any
    is_secret: bool = False


@dataclass
class Files:
    """The texts of the two files, changed in memory until all is answered."""

    folder: Path
    texts: dict[bool, str]

    def find(self, section: str, key: str) -> Any:
        """A setting's value in either file, or None."""
        found = get_value(self.texts[True], section, key)
        return get_value(self.texts[False], section, key) if found is None else found

    def path(self, *, is_secret: bool) -> Path:
        """The file of the secrets, or of the other settings."""
        return self.folder / FILES[is_secret]


def set_up(folder: Path) -> str | None:
    """Ask, write, and return the warehouse's engine if everything is to be checked now.

    Raises `UsageError` without a terminal, and if several PBXs are set up.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(BY_HAND)
    files = Files(folder, {is_secret: read_toml(folder / name) for is_secret, name in FILES.items()})
    if files.find(SECTION, "accounts"):
        raise UsageError(
            f"Several PBXs are set up here. Write each one's settings into [{SECTION}.accounts.<name>] of "
            f"{folder}/config.toml, and its key into the same section of secrets.toml; then: calls doctor."
        )
    click.echo(
        f"This writes {folder}/config.toml and {folder}/secrets.toml in {Path.cwd()}. Enter takes what is in []."
    )
    engine, settings = ask_all(files)
    for setting in settings:
        _put(files, setting)
    offer_to_ignore(folder / FILES[True])
    for is_secret in (True, False):
        write_private(files.path(is_secret=is_secret), files.texts[is_secret])
    click.echo(f"Written: {folder}/config.toml, and {folder}/secrets.toml, which only you can read.")
    _warn_of_environment(settings)
    if engine == "postgres":
        click.echo("Add --destination postgres to each command; without it they use DuckDB.")
    return engine if click.confirm("Check all of it now? It costs one of the PBX's requests.", default=True) else None


def ask_all(files: Files) -> tuple[str, list[Setting]]:
    """Ask every question, in the order of the README."""
    known = {key: files.find(SECTION, key) for key in ("base_url", "timezone", "start_date")}
    has_key = _is_key(files.find(SECTION, "api_key"))
    address = _ask("The PBX's address, https://…", parse_address, known["base_url"])
    key = _ask_key(has_key=has_key)
    zone = _ask("The PBX's time zone", parse_zone, known["timezone"] or local_zone())
    start = _ask(
        "First day to load, empty for all there is", partial(parse_start, zone=zone), known["start_date"] or ""
    )
    engine, warehouse = _ask_warehouse(files)
    settings = [
        Setting(SECTION, "base_url", address),
        Setting(SECTION, "api_key", key, is_secret=True),
        Setting(SECTION, "timezone", zone),
        Setting(SECTION, "start_date", start),
        warehouse,
    ]
    return engine, [setting for setting in settings if setting.value is not None]


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


def _ask_warehouse(files: Files) -> tuple[str, Setting]:
    is_postgres = files.find("destination.postgres", "credentials") is not None
    before = files.find("destination.duckdb", "credentials") or ("" if is_postgres else "warehouse.duckdb")
    kept = ", empty to keep the Postgres that is set" if not before else ""
    question = f"Warehouse: a DuckDB file, or a Postgres URL without its password{kept}"
    typed = _ask(question, lambda typed: typed and parse_warehouse(typed), before)
    if not typed:
        return "postgres", Setting("destination.postgres", "credentials", None, is_secret=True)
    if "://" not in typed:
        return "duckdb", Setting("destination.duckdb", "credentials", typed)
    password = _ask("Password of that login, empty for none (not shown)", str, "", is_hidden=True)
    return "postgres", Setting("destination.postgres", "credentials", with_password(typed, password), is_secret=True)


def _is_key(value: Any) -> bool:
    """Whether it can be a key: the example's `paste the key here` cannot."""
    try:
        return bool(value) and bool(parse_key(value))
    except ValueError:
        return False


def _put(files: Files, setting: Setting) -> None:
    """Put a setting into its file's text. Replaces a value that is there only after a yes."""
    name, text = FILES[setting.is_secret], files.texts[setting.is_secret]
    before = get_value(text, setting.section, setting.key)
    if before == setting.value:
        return
    if setting.is_secret and get_value(files.texts[False], setting.section, setting.key) is not None:
        say_warning(f"{FILES[False]} holds {setting.key} as well. Remove it there: it is a secret.")
    if isinstance(before, dict):
        say_warning(f"{name} has {setting.key} in parts, in a section of its own; it was left as it is.")
        return
    is_example = setting.key == "api_key" and not _is_key(before)
    if before is not None and not is_example:
        change = "Replace it" if setting.is_secret else f"It is {before}. Change it to {setting.value}"
        if not click.confirm(f"{name} has {setting.key} in [{setting.section}]. {change}?"):
            return
    files.texts[setting.is_secret] = set_value(text, setting.section, setting.key, setting.value)


def _warn_of_environment(settings: list[Setting]) -> None:
    for setting in settings:
        variable = f"{setting.section}.{setting.key}".replace(".", "__").upper()
        if os.environ.get(variable):
            say_warning(f"{variable} is set, and overrides what was written.")
