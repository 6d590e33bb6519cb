"""Changes single settings in a TOML file, and leaves all else in it unchanged, its comments too."""

import re
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import ParseError

from pipelines.errors import SettingsError
from pipelines.files import replace_private

Document = Any  # tomlkit's own type is a dict of Any


def read_toml(path: Path) -> str:
    """The file's text; '' if there is no file. Raises `SettingsError` if it is not TOML."""
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        tomlkit.parse(text)
    except (ParseError, UnicodeDecodeError):
        raise SettingsError(f"{path} cannot be read as TOML. Correct it, or move it away, and start again.") from None
    return text


def get_value(text: str, section: str, key: str) -> Any:
    """A setting's value in Python's type, or None."""
    table: Any = tomlkit.parse(text).unwrap()
    for name in (*section.split("."), key):
        table = table.get(name) if isinstance(table, dict) else None
    return table


def set_value(text: str, section: str, key: str, value: Any) -> str:
    """The text with the setting changed, or added: below the comment that shows its default, if there is one."""
    if get_value(text, section, key) is None:
        line = f"{key} = {tomlkit.item(value).as_string()}"
        comment = rf"^\[{re.escape(section)}\][^\n]*\n(?:(?!\[)[^\n]*\n)*?#[ ]?{re.escape(key)}[ ]*=[^\n]*$"
        if found := re.search(comment, text, re.MULTILINE):
            return f"{text[: found.end()]}\n{line}{text[found.end() :]}"
    document: Document = tomlkit.parse(text)
    table = document
    *outer, last = section.split(".")
    for name in (*outer, last):
        if name not in table:
            table[name] = tomlkit.table(is_super_table=name != last)
        table = table[name]
    table[key] = value
    return tomlkit.dumps(document)


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step by one that only its user may read. Raises `SettingsError`."""
    try:
        replace_private(path.resolve(), text)  # a link stays a link
    except OSError as error:
        raise SettingsError(
            f"{path.name} cannot be written ({error.strerror}), and was not changed. Is the folder {path.parent} yours?"
        ) from None
