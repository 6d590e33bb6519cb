"""One run per account at a time. The kernel frees the lock when its process dies; a note beside it says who has it."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from pipelines.errors import AlreadyRunning, SettingsError
from pipelines.files import home

GLANCE_SECONDS = 1.0  # `status` takes the lock for a moment to see whether it is free


@dataclass(frozen=True)
class Running:
    """Who holds an account: process id, and since when (Unix seconds)."""

    pid: int
    since: float


@contextmanager
def hold_account(account: str) -> Iterator[None]:
    """Holds the account for this process. Raises `AlreadyRunning` if another run has it."""
    lock = FileLock(_path(account), mode=0o600)
    try:
        _path(account).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock.acquire(timeout=GLANCE_SECONDS)
    except Timeout:
        running = _note(account)
        since = f" since {time.strftime('%Y-%m-%d %H:%M', time.localtime(running.since))}" if running else ""
        raise AlreadyRunning(
            f"{account}: another run has been loading this account{since}. It keeps what it reads; run again when it "
            "has ended, or look with: calls status."
        ) from None
    except OSError as error:
        raise SettingsError(
            f"The folder {home()} cannot be used ({error.strerror}). It holds locks, ledger and working files: make it "
            "a folder of yours, with room on its disk, or set CALLS_HOME to another."
        ) from None
    try:
        with suppress(OSError):  # a full disk: the run can go on without a note
            _note_path(account).write_text(json.dumps(asdict(Running(os.getpid(), time.time()))))
        yield
    finally:
        _note_path(account).unlink(missing_ok=True)
        lock.release()


def find_running(account: str) -> Running | None:
    """The run that holds the account now, if any."""
    path = _path(account)
    if not path.exists():
        return None
    try:
        with FileLock(path, mode=0o600).acquire(timeout=0):
            return None
    except Timeout:
        return _note(account) or Running(0, path.stat().st_mtime)


def _path(account: str) -> Path:
    return home() / "locks" / f"{account}.lock"


def _note_path(account: str) -> Path:
    return _path(account).with_suffix(".json")


def _note(account: str) -> Running | None:
    try:
        return Running(**json.loads(_note_path(account).read_text()))
    except (OSError, ValueError, TypeError):
        return None
