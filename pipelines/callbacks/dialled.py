"""Who was rung from this machine, so that whoever goes down the list again, or beside another, is told.

One empty file a caller, named by a hash: its time is when. Gone once the caller is on no list any more.
"""

import hashlib
import time
from contextlib import suppress
from datetime import UTC, datetime

from pipelines.callbacks import Caller, recovery_time
from pipelines.files import home

FOLDER = "rung"


def note_rung(caller: Caller) -> None:
    """Remembers that the caller was rung just now. A disk that is full costs the note, and not the round."""
    folder = home() / FOLDER
    with suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / _name(caller)).touch(mode=0o600)


def rung_at(caller: Caller) -> datetime | None:
    """When the caller was last rung, in UTC."""
    with suppress(OSError):
        return datetime.fromtimestamp((home() / FOLDER / _name(caller)).stat().st_mtime, UTC)
    return None


def forget_rung() -> None:
    """Removes the notes on whoever is past being called back."""
    oldest = time.time() - recovery_time().total_seconds()
    with suppress(OSError):
        for note in (home() / FOLDER).iterdir():
            if note.stat().st_mtime < oldest:
                note.unlink(missing_ok=True)


def _name(caller: Caller) -> str:
    return hashlib.sha256(f"{caller.account}\0{caller.number}".encode()).hexdigest()
