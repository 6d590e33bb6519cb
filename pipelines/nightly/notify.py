"""Tells somebody that a night failed: a command, a webhook, or both, from `[notify]` in the settings.

    [notify]
    command = ["/usr/local/bin/tell", "--calls"]     # gets the summary as JSON on its standard input
    timeout_seconds = 30
    webhook = "https://hooks.example/…"              # in secrets.toml: whoever has the address can post to it

What is told is the summary, which holds no key and no phone number; the command does not inherit the settings' secrets.
Neither changes how the night ended, nor holds it up for longer than `timeout_seconds`.
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

import dlt
import httpx
import orjson

from pipelines.errors import SettingsError
from pipelines.voipcloud.settings import LOOPBACK, section_keys

DEFAULT_TIMEOUT_SECONDS = 30.0
LONGEST_TIMEOUT_SECONDS = 600.0
SECRET_PREFIXES = ("SOURCES__", "DESTINATION__", "NOTIFY__")
KEYS = ("command", "webhook", "timeout_seconds")


@dataclass(frozen=True)
class Notify:
    """Whom to tell; by default nobody."""

    command: tuple[str, ...] = ()
    webhook: str | None = field(default=None, repr=False)
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS


def read_notify() -> Notify:
    """The settings in `[notify]`, each checked. Raises `SettingsError`."""
    for name in section_keys("notify"):
        if name not in KEYS:
            raise SettingsError(f"[notify] has no setting '{name}': {', '.join(KEYS)} are what there is.")
    command, webhook = _setting("command"), _setting("webhook")
    timeout = _setting("timeout_seconds")
    return Notify(
        _command(command) if command else (),
        _webhook(str(webhook)) if webhook else None,
        _seconds(timeout) if timeout is not None else DEFAULT_TIMEOUT_SECONDS,
    )


def tell(notify: Notify, summary: Mapping[str, Any], exit_code: int, warn: Callable[[str], None]) -> None:
    """Tells all who are to be told; what goes wrong in that is a warning."""
    body = {"text": _text(summary, exit_code), "exit_code": exit_code, "host": socket.gethostname(), **summary}
    if notify.command:
        _run(notify, orjson.dumps(body), exit_code, warn)
    if notify.webhook:
        _post(notify.webhook, notify.timeout_seconds, orjson.dumps(body), warn)


def _text(summary: Mapping[str, Any], exit_code: int) -> str:
    told = " ".join(error["message"] for error in summary["errors"])
    return f"calls run on {socket.gethostname()} ended with {exit_code}: {told}"


def _run(notify: Notify, body: bytes, exit_code: int, warn: Callable[[str], None]) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(SECRET_PREFIXES)}
    environment["CALLS_EXIT_CODE"] = str(exit_code)
    try:
        ended = subprocess.run(
            notify.command,
            input=body,
            env=environment,
            stdout=subprocess.DEVNULL,
            timeout=notify.timeout_seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        warn(f"The command in [notify] did not do its work ({type(error).__name__}).")
        return
    if ended.returncode:
        warn(f"The command in [notify] ended with {ended.returncode}.")


def _post(webhook: str, timeout_seconds: float, body: bytes, warn: Callable[[str], None]) -> None:
    headers = {"content-type": "application/json"}
    try:
        with httpx.stream("POST", webhook, content=body, headers=headers, timeout=timeout_seconds / 3) as answer:
            if not answer.is_success:
                warn(f"The webhook in [notify] answered {answer.status_code}.")
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        warn(f"The webhook in [notify] was not reached ({type(error).__name__}).")


def _setting(name: str) -> Any:
    found: Any = dlt.secrets.get(f"notify.{name}")
    return dlt.config.get(f"notify.{name}") if found is None else found


def _seconds(value: Any) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = 0.0
    if not 0 < seconds <= LONGEST_TIMEOUT_SECONDS:
        raise SettingsError(f"[notify] timeout_seconds has to be from 0 to {LONGEST_TIMEOUT_SECONDS:.0f}.")
    return seconds


def _command(value: Any) -> tuple[str, ...]:
    try:
        parsed = json.loads(value) if isinstance(value, str) and value.lstrip().startswith("[") else value
        words = shlex.split(parsed) if isinstance(parsed, str) else [str(word) for word in parsed]
    except (ValueError, TypeError):
        words = []
    if not words or shutil.which(words[0]) is None:
        raise SettingsError(
            "[notify] command cannot be run: it has to begin with a program that is there, by its path or on PATH. "
            'Write it as a list of words: command = ["/usr/local/bin/tell", "--calls"].'
        )
    return tuple(words)


def _webhook(value: str) -> str:
    try:
        parts = urlsplit(value.strip())
    except ValueError:  # brackets that do not match
        parts = urlsplit("")
    if parts.scheme == "https" and parts.hostname:
        return value.strip()
    if parts.scheme == "http" and parts.hostname in LOOPBACK:
        return value.strip()
    raise SettingsError("[notify] webhook has to be an https address; http is taken for this machine itself alone.")
