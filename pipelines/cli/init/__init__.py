"""`calls init`: asks for what a load needs, and writes it into `.dlt/`: settings and, apart from them, secrets.

Each answer is read as the settings will be. What stands in the files is offered, and changed only after asking.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

import click

from pipelines.cli import output as screen
from pipelines.cli.init.answers import check_warehouse, parse_address, parse_zone, with_password, zone_here
from pipelines.cli.init.git_ignored import offer_to_ignore
from pipelines.cli.init.toml_files import get_value, read_toml, set_value, write_private
from pipelines.errors import UsageError
from pipelines.voipcloud.settings import SECTION, parse_setting

FILES = {False: "config.toml", True: "secrets.toml"}
BY_HAND = (
    "calls init asks, so it needs a terminal. Without one, set base_url, timezone and, if you want, start_date in "
    f"[{SECTION}] of .dlt/config.toml, and api_key in [{SECTION}] of .dlt/secrets.toml; or "
    "SOURCES__VOIPCLOUD__BASE_URL, …__TIMEZONE, …__START_DATE, …__API_KEY. The warehouse: credentials in "
    "[destination.duckdb] (a file) or [destination.postgres] (a URL), or "
    "DESTINATION__DUCKDB__CREDENTIALS, DESTINATION__POSTGRES__CREDENTIALS."
)


@dataclass(frozen=True)
class Answer:
    """A setting as it was answered; a secret one is never shown."""

    section: str
    key: str
    value: Any
    is_secret: bool = False


@dataclass
class Files:
    """The two files' texts as they are and are to be."""

    folder: Path
    texts: dict[bool, str]

    def find(self, section: str, key: str) -> Any:
        """A setting's value in either file."""
        found = get_value(self.texts[True], section, key)
        return get_value(self.texts[False], section, key) if found is None else found

    def path(self, *, is_secret: bool) -> Path:
        """Where secrets, or else settings, stand."""
        return self.folder / FILES[is_secret]


def set_up(folder: Path) -> str | None:
    """Asks, writes, and gives the warehouse's kind if all is to be checked now.

    Raises `UsageError` without a terminal.
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
    engine, answers = ask_all(files)
    for answer in answers:
        _take(files, answer)
    offer_to_ignore(folder / FILES[True])
    for is_secret in (True, False):
        write_private(files.path(is_secret=is_secret), files.texts[is_secret])
    click.echo(f"Written: {folder}/config.toml, and {folder}/secrets.toml, which only you can read.")
    _tell_of_environment(answers)
    if engine == "postgres":
        click.echo("Add --destination postgres to each command, or they use DuckDB.")
    return engine if click.confirm("Check all of it now? It costs one of the PBX's requests.", default=True) else None


def ask_all(files: Files) -> tuple[str, list[Answer]]:
    """Every question, in the order of the README."""
    known = {key: files.find(SECTION, key) for key in ("base_url", "timezone", "start_date")}
    has_key = _is_good("api_key", files.find(SECTION, "api_key"))
    answers = [
        Answer(SECTION, "base_url", _ask("The PBX's address, https://…", parse_address, known["base_url"])),
        Answer(SECTION, "api_key", _ask_key(has_key=has_key), is_secret=True),
        Answer(SECTION, "timezone", _ask("The PBX's time zone", parse_zone, known["timezone"] or zone_here())),
        Answer(
            SECTION, "start_date", _ask("First day to load, empty for all there is", _start, known["start_date"] or "")
        ),
    ]
    engine, warehouse = _ask_warehouse(files)
    return engine, [answer for answer in (*answers, warehouse) if answer.value is not None]


def _ask(question: str, parse: Callable[[str], Any], default: Any = None, *, is_hidden: bool = False) -> Any:
    """Asks until the answer can be used."""
    shown = None if default is None else str(default)
    while True:
        typed = click.prompt(question, default=shown, show_default=bool(shown) and not is_hidden, hide_input=is_hidden)
        try:
            return parse(str(typed).strip())
        except ValueError as error:
            click.echo(f"  That cannot be used: {error}".rstrip(".") + ("" if str(error).endswith("?") else "."))


def _ask_key(*, has_key: bool) -> str | None:
    question = "Its API key (Billing, Edit details; not shown)"
    if not has_key:
        return str(_ask(question, lambda typed: parse_setting("api_key", typed), is_hidden=True))
    typed = _ask(
        f"{question}, empty to keep it", lambda typed: typed and parse_setting("api_key", typed), "", is_hidden=True
    )
    return typed or None


def _ask_warehouse(files: Files) -> tuple[str, Answer]:
    is_postgres = files.find("destination.postgres", "credentials") is not None
    before = files.find("destination.duckdb", "credentials") or ("" if is_postgres else "warehouse.duckdb")
    kept = ", empty to keep the Postgres that is set" if not before else ""
    question = f"Warehouse: a DuckDB file, or a Postgres URL without its password{kept}"
    typed = _ask(question, lambda typed: typed and check_warehouse(typed), before)
    if not typed:
        return "postgres", Answer("destination.postgres", "credentials", None, is_secret=True)
    if "://" not in typed:
        return "duckdb", Answer("destination.duckdb", "credentials", typed)
    asked = _ask("Password of that login, empty for none (not shown)", lambda typed: typed, "", is_hidden=True)
    return "postgres", Answer("destination.postgres", "credentials", with_password(typed, asked), is_secret=True)


def _start(typed: str) -> date | None:
    found: date | None = parse_setting("start_date", typed) if typed else None
    return found


def _is_good(key: Literal["api_key"], value: Any) -> bool:
    """Whether it is one, and not the example's `paste the key here`."""
    try:
        return bool(value) and bool(parse_setting(key, str(value)))
    except ValueError:
        return False


def _take(files: Files, answer: Answer) -> None:
    """Puts an answer into its file's text; a value that is there is changed only after asking."""
    name, text = FILES[answer.is_secret], files.texts[answer.is_secret]
    before = get_value(text, answer.section, answer.key)
    if before == answer.value:
        return
    if answer.is_secret and get_value(files.texts[False], answer.section, answer.key) is not None:
        screen.say_warning(f"{FILES[False]} holds {answer.key} as well. Take it out there: it is a secret.")
    if isinstance(before, dict):
        screen.say_warning(f"{name} has {answer.key} in parts, in a section of its own; it was left as it is.")
        return
    is_example = answer.key == "api_key" and not _is_good("api_key", before)
    if before is not None and not is_example:
        change = "Replace it" if answer.is_secret else f"It is {before}. Change it to {answer.value}"
        if not click.confirm(f"{name} has {answer.key} in [{answer.section}]. {change}?"):
            return
    files.texts[answer.is_secret] = set_value(text, answer.section, answer.key, answer.value)


def _tell_of_environment(answers: list[Answer]) -> None:
    for answer in answers:
        variable = f"{answer.section}.{answer.key}".replace(".", "__").upper()
        if os.environ.get(variable):
            screen.say_warning(f"{variable} is set, and overrides what was written.")
