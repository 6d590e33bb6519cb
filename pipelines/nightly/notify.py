"""Notifies somebody of a failed night: by a command, a webhook, or both, as `[notify]` in the settings says.

    [notify]
    command = ["/usr/local/bin/notify", "--calls"]     # gets the summary as JSON on its standard input
    timeout_seconds = 30
    webhook = "https://hooks.example/…"              # in secrets.toml: anybody who has the address can post to it

The summary holds no key and no phone number, and the command does not inherit the settings' secrets. Neither changes
how the night ended, nor delays its end by more than `timeout_seconds`.
"""

import json
import os
import shlex
import shutil
import socket
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson

from pipelines.errors import SettingsError, describe_error, exit_code
from pipelines.nightly import NightResult
from pipelines.voipcloud.setting_lookup import check_keys, find_plain_or_secret
from pipelines.voipcloud.setting_values import LOOPBACK, parse_number

SECRET_PREFIXES = ("SOURCES__", "DESTINATION__", "NOTIFY__")
Warn = Callable[[str], None]


@dataclass(frozen=True)
class NotifySettings:
    """How to notify; by default not at all."""

    command: tuple[str, ...] = ()
    webhook: str | None = field(default=None, repr=False)
    timeout_seconds: float = 30.0


def _parse_command(value: Any) -> tuple[str, ...]:
    parsed = json.loads(value) if isinstance(value, str) and value.lstrip().startswith("[") else value
    words = shlex.split(parsed) if isinstance(parsed, str) else [str(word) for word in parsed]
    if not words or shutil.which(words[0]) is None:
        raise ValueError
    return tuple(words)


def _parse_webhook(value: Any) -> str:
    address = str(value).strip()
    parts = urlsplit(address)
    if parts.hostname and (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)):
        return address
    raise ValueError


PARSERS: Mapping[str, tuple[Callable[[Any], Any], str]] = {  # with what each has to be
    "command": (
        _parse_command,
        "words, of which the first is a program that exists, by its path or on PATH: "
        '["/usr/local/bin/notify", "--calls"]',
    ),
    "webhook": (_parse_webhook, "an https address, or http on this machine"),
    "timeout_seconds": (partial(parse_number, most=600, can_be_zero=False), "more than 0 and at most 600"),
}


def read_notify_settings() -> NotifySettings:
    """The settings in `[notify]`, each checked. Raises `SettingsError`."""
    check_keys("notify", PARSERS)
    found: dict[str, Any] = {}
    for name, (parse, expected) in PARSERS.items():
        value = find_plain_or_secret(f"notify.{name}")
        if value is None or value in ("", []):
            continue
        try:
            found[name] = parse(value)
        except (ValueError, TypeError):
            raise SettingsError(f"[notify] {name} cannot be used: it has to be {expected}.") from None
    return NotifySettings(**found)


def notify(night: NightResult, warn: Warn) -> None:
    """Run the command and post to the webhook, whichever are set, if the night has errors. `warn` says what fails."""
    try:
        settings = read_notify_settings()
    except SettingsError as error:
        night.errors.append(error)
        return
    if not night.errors:
        return
    code, host = exit_code(night.errors), socket.gethostname()
    text = f"calls run on {host} ended with {code}: {' '.join(map(str, night.errors))}"
    body = orjson.dumps({"text": text, "exit_code": code, "host": host, **vars(night)}, default=describe_error)
    if settings.command:
        _run(settings, body, code, warn)
    if settings.webhook:
        _post(settings.webhook, settings.timeout_seconds, body, warn)


def _run(settings: NotifySettings, body: bytes, code: int, warn: Warn) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(SECRET_PREFIXES)}
    environment["CALLS_EXIT_CODE"] = str(code)
    try:
        subprocess.run(
            settings.command,
            input=body,
            env=environment,
            stdout=subprocess.DEVNULL,
            timeout=settings.timeout_seconds,
            check=True,
        )
    except subprocess.TimeoutExpired:
        warn(f"The command in [notify] was killed after {settings.timeout_seconds:g} s.")
    except subprocess.CalledProcessError as error:
        warn(f"The command in [notify] ended with {error.returncode}.")
    except OSError as error:
        warn(f"The command in [notify] could not be run ({type(error).__name__}).")


def _post(webhook: str, timeout_seconds: float, body: bytes, warn: Warn) -> None:
    headers = {"content-type": "application/json"}
    try:
        with httpx.stream("POST", webhook, content=body, headers=headers, timeout=timeout_seconds / 3) as response:
            if not response.is_success:
                warn(f"The webhook in [notify] answered {response.status_code}.")
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        warn(f"The webhook in [notify] was not reached ({type(error).__name__}).")
