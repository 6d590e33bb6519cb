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
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson

from pipelines.errors import SettingsError
from pipelines.voipcloud.setting_lookup import find_plain_or_secret, section_keys
from pipelines.voipcloud.setting_values import LOOPBACK

DEFAULT_TIMEOUT_SECONDS = 30.0
LONGEST_TIMEOUT_SECONDS = 600.0
SECRET_PREFIXES = ("SOURCES__", "DESTINATION__", "NOTIFY__")
KEYS = ("command", "webhook", "timeout_seconds")


@dataclass(frozen=True)
class NotifySettings:
    """How to notify; by default not at all."""

    command: tuple[str, ...] = ()
    webhook: str | None = field(default=None, repr=False)
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS


def read_notify_settings() -> NotifySettings:
    """The settings in `[notify]`, each checked. Raises `SettingsError`."""
    for name in section_keys("notify"):
        if name not in KEYS:
            raise SettingsError(f"[notify] has no setting '{name}'. It has: {', '.join(KEYS)}.")
    command, webhook, timeout = (find_plain_or_secret(f"notify.{name}") for name in KEYS)
    return NotifySettings(
        _parse_command(command) if command else (),
        _parse_webhook(str(webhook)) if webhook else None,
        _parse_timeout(timeout) if timeout is not None else DEFAULT_TIMEOUT_SECONDS,
    )


def notify(settings: NotifySettings, summary: Mapping[str, Any], exit_code: int, warn: Callable[[str], None]) -> None:
    """Run the command and post to the webhook, whichever are set. If one fails, `warn` gets a line."""
    text = f"calls run on {socket.gethostname()} ended with {exit_code}: {_messages(summary)}"
    body = {"text": text, "exit_code": exit_code, "host": socket.gethostname(), **summary}
    if settings.command:
        _run(settings, orjson.dumps(body), exit_code, warn)
    if settings.webhook:
        _post(settings.webhook, settings.timeout_seconds, orjson.dumps(body), warn)


def _messages(summary: Mapping[str, Any]) -> str:
    return " ".join(error["message"] for error in summary["errors"])


def _run(settings: NotifySettings, body: bytes, exit_code: int, warn: Callable[[str], None]) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(SECRET_PREFIXES)}
    environment["CALLS_EXIT_CODE"] = str(exit_code)
    try:
        ended = subprocess.run(
            settings.command,
            input=body,
            env=environment,
            stdout=subprocess.DEVNULL,
            timeout=settings.timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        warn(f"The command in [notify] was killed after {settings.timeout_seconds:g} s.")
    except OSError as error:
        warn(f"The command in [notify] could not be run ({type(error).__name__}).")
    else:
        if ended.returncode:
            warn(f"The command in [notify] ended with {ended.returncode}.")


def _post(webhook: str, timeout_seconds: float, body: bytes, warn: Callable[[str], None]) -> None:
    headers = {"content-type": "application/json"}
    try:
        with httpx.stream("POST", webhook, content=body, headers=headers, timeout=timeout_seconds / 3) as response:
            if not response.is_success:
                warn(f"The webhook in [notify] answered {response.status_code}.")
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        warn(f"The webhook in [notify] was not reached ({type(error).__name__}).")


def _parse_timeout(value: Any) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = 0.0
    if not 0 < seconds <= LONGEST_TIMEOUT_SECONDS:
        raise SettingsError(
            f"[notify] timeout_seconds has to be more than 0 and at most {LONGEST_TIMEOUT_SECONDS:.0f}."
        )
    return seconds


def _parse_command(value: Any) -> tuple[str, ...]:
    try:
        parsed = json.loads(value) if isinstance(value, str) and value.lstrip().startswith("[") else value
        words = shlex.split(parsed) if isinstance(parsed, str) else [str(word) for word in parsed]
    except (ValueError, TypeError):
        words = []
    if not words or shutil.which(words[0]) is None:
        raise SettingsError(
            "[notify] command cannot be run: it has to begin with a program that exists, by its path or on PATH. "
            'Write it as a list of words: command = ["/usr/local/bin/notify", "--calls"].'
        )
    return tuple(words)


def _parse_webhook(value: str) -> str:
    try:
        parts = urlsplit(value.strip())
    except ValueError:  # brackets that do not match
        parts = urlsplit("")
    if parts.scheme == "https" and parts.hostname:
        return value.strip()
    if parts.scheme == "http" and parts.hostname in LOOPBACK:
        return value.strip()
    raise SettingsError("[notify] webhook has to be an https address, or http on this machine.")
