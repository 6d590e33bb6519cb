"""Remembers who was rung from this machine, and shows it to everybody who goes down the list afterwards.

One empty file per caller, named by a hash; its modification time is the time of the call. It is removed once the
caller's time to be called back has run out.
"""

import hashlib
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from pipelines.callbacks import Caller, recovery_time
from pipelines.files import home


def note_rung(caller: Caller) -> None:
    """Remember that the caller was rung just now. A full disk loses the note and stops nothing."""
    note = _note(caller)
    with suppress(OSError):
        note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        note.touch(mode=0o600)


def rung_at(caller: Caller) -> datetime | None:
    """When the caller was last rung, in UTC; None if never."""
    with suppress(OSError):
        return datetime.fromtimestamp(_note(caller).stat().st_mtime, UTC)
    return None


def forget_rung() -> None:
    """Remove the notes on callers whose time has run out."""
    oldest = time.time() - recovery_time().total_seconds()
    with suppress(OSError):
        for note in (home() / "rung").iterdir():
            if note.stat().st_mtime < oldest:
                note.unlink(missing_ok=True)


def _note(caller: Caller) -> Path:
    return home() / "rung" / hashlib.sha256(f"{caller.account}\0{caller.number}".encode()).hexdigest()
