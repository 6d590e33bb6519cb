"""Finds settings in dlt's layers: environment, `.dlt/secrets.toml`, `.dlt/config.toml`.

One PBX stands in `[sources.voipcloud]` and is named `main`. Several stand in `[sources.voipcloud.accounts.<name>]`;
each takes what it lacks from the section above, except the key.
"""

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import dlt

from pipelines.errors import SettingsError, UsageError, did_you_mean

SECTION = "sources.voipcloud"
API_KEY = "api_key"  # stands in secrets.toml, and each account has its own


def account_names(only: tuple[str, ...] = ()) -> list[str]:
    """The names of all accounts that are set up, or of those in `only`. Raises `UsageError` for an unknown name."""
    names = list(dict.fromkeys(section_keys(f"{SECTION}.accounts"))) or ["main"]
    for name in only:
        if name not in names:
            raise UsageError(f"There is no account '{name}'{did_you_mean(name, names)} Set up: {', '.join(names)}.")
    return [name for name in names if not only or name in only]


def find_setting(name: str, key: str) -> Any:
    """The value for the account `name`: its own, else that of the section above; None if neither is set."""
    layers = dlt.secrets if key == API_KEY else dlt.config
    own: Any = layers.get(f"{SECTION}.accounts.{name}.{key}")
    if own is None and (key != API_KEY or _is_alone(name)):
        own = layers.get(f"{SECTION}.{key}")
    return own


def find_plain_or_secret(path: str) -> Any:
    """A setting that may stand in either file: `section.key`."""
    found: Any = dlt.secrets.get(path)
    return dlt.config.get(path) if found is None else found


def section_keys(path: str) -> Iterator[str]:
    """A section's keys in all layers. (dlt itself stops at the first layer that has the section.)"""
    *sections, name = path.split(".")
    for layer in dlt.config.config_providers:
        table, _ = layer.get_value(name, Any, "", *sections)
        yield from table if isinstance(table, Mapping) else ()
    prefix = path.replace(".", "__").upper() + "__"
    for variable in os.environ:
        if variable.startswith(prefix):
            yield variable.removeprefix(prefix).split("__")[0].lower()


def check_keys(path: str, known: Collection[str]) -> None:
    """Raise `SettingsError` if the section holds an unknown key: a misspelt one would silently leave the default."""
    for key in section_keys(path):
        if key not in known:
            raise SettingsError(f"[{path}] has no setting '{key}'{did_you_mean(key, known)}")


def how_to_set(name: str, key: str) -> str:
    """The remedy in a message: file and variable in which to set `key` for the account `name`."""
    file = "secrets.toml" if key == API_KEY else "config.toml"
    if key == "budget.ledger":
        file += ", or secrets.toml if it holds a password,"
    path = f"{SECTION}.{key}" if _is_alone(name) else f"{SECTION}.accounts.{name}.{key}"
    section, _, key = path.rpartition(".")
    variable = path.replace(".", "__").upper()
    return f"Set {key} in [{section}] of .dlt/{file} in the folder you run from ({Path.cwd().name}/), or {variable}."


def _is_alone(name: str) -> bool:
    """Whether `name` is the one PBX of the section itself, whose key stands at the top."""
    return name == "main" and account_names() == ["main"] and not dlt.config.get(f"{SECTION}.accounts.main")
