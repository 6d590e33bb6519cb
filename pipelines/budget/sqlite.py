"""The request ledger in SQLite: one file for all processes and threads of a machine.

Each operation opens the file, runs one transaction and closes it. So nothing is held open while a request is under
way, and a fork inherits nothing. The rollback journal is used instead of WAL because it also works in folders shared
with containers and on NFS. It stays beside the file, blank between transactions.
"""

import os
import sqlite3
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from pipelines.budget.clock import Instant, MachineClock, is_alive, own_holder
from pipelines.budget.ledger import READ_TIMEOUT_SECONDS, WRITE_TIMEOUT_SECONDS, Entry
from pipelines.errors import CallsError, SettingsError, StoppedEarly

LEDGER_ID = 0x63616C6C  # SQLite's application_id: no emptied or foreign file has it

# AUTOINCREMENT: an id is never used again, because a slow request may still be settled under it.
SCHEMA = f"""
PRAGMA synchronous = EXTRA;
PRAGMA application_id = {LEDGER_ID};
CREATE TABLE requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account TEXT NOT NULL,   -- hash of host and key
    holder TEXT NOT NULL,    -- the process that sent it
    block_seconds REAL,      -- for a block after a 429: the window is full for so long; null for a request
    since_wall REAL,         -- it counts from this instant; null while it is under way
    since_uptime REAL,
    since_boot TEXT,
    checksum INTEGER NOT NULL  -- SQLite has none; without one a damaged row could count for no account
);
"""


@dataclass(frozen=True)
class SqliteTransaction:
    """The open file with every account's entries, and this machine's clock and processes."""

    connection: sqlite3.Connection
    clock: MachineClock

    def now(self) -> Instant:
        return self.clock()

    def entries(self) -> list[Entry]:
        entries = []
        for row_id, *cells, checksum in self.connection.execute("SELECT * FROM requests"):
            if checksum != _checksum(cells):
                raise sqlite3.DatabaseError(f"row {row_id} does not match its checksum")
            account, holder, block_seconds, wall, uptime, boot = cells
            since = None if boot is None else Instant(wall, uptime, boot)
            entries.append(Entry(row_id, account, holder, block_seconds, since))
        return entries

    def write(self, entry: Entry) -> Entry:
        since = astuple(entry.since) if entry.since else (None, None, None)
        cells = [entry.account, entry.holder, entry.block_seconds, *since]
        row = (entry.id, *cells, _checksum(cells))
        cursor = self.connection.execute("INSERT OR REPLACE INTO requests VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        return replace(entry, id=cursor.lastrowid)

    def forget(self, entry: Entry) -> None:
        self.connection.execute("DELETE FROM requests WHERE id = ?", (entry.id,))

    def holder(self) -> str:
        return own_holder()

    def is_alive(self, holder: str) -> bool:
        return is_alive(holder)


@dataclass(frozen=True)
class SqliteStorage:
    """The file. Raises `SettingsError` when it cannot be used, `StoppedEarly` when locked."""

    path: Path
    hold_seconds: float  # for error messages: how long to wait before the ledger may be replaced
    clock: MachineClock

    def prepare(self) -> None:
        """Create the file if there is none (mode 0600, its folder 0700); check that it can be read."""
        try:
            if not self.path.exists():
                _create(self.path)
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(error) from error
        with self.reading() as transaction:
            transaction.entries()

    @contextmanager
    def writing(self, holder: str = "") -> Iterator[SqliteTransaction]:  # noqa: ARG002 - a file needs no holder
        """A transaction that holds the file's write lock; its end is durable."""
        with self._transaction("IMMEDIATE", WRITE_TIMEOUT_SECONDS) as connection:
            yield SqliteTransaction(connection, self.clock)

    @contextmanager
    def reading(self) -> Iterator[SqliteTransaction]:
        """A transaction that reads the file as of the last commit."""
        with self._transaction("DEFERRED", READ_TIMEOUT_SECONDS) as connection:
            yield SqliteTransaction(connection, self.clock)

    @contextmanager
    def _transaction(self, kind: str, timeout_seconds: float) -> Iterator[sqlite3.Connection]:
        # mode=rw: SQLite must not create an empty ledger in place of one that has vanished
        address = self.path.absolute().as_uri() + "?mode=rw"
        try:
            connection = sqlite3.connect(address, uri=True, timeout=timeout_seconds, isolation_level=None)
            with closing(connection):
                # EXTRA syncs the folder too, for a power cut right after the commit.
                connection.execute("PRAGMA synchronous = EXTRA")
                # PERSIST blanks the journal at a commit, and leaves the folder as it is.
                connection.execute("PRAGMA journal_mode = PERSIST")
                connection.execute(f"BEGIN {kind}")
                _check(connection)
                yield connection
                connection.execute("COMMIT")
        except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter if SQLite quotes a damaged file
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> CallsError:
        quiet = f"After {self.hold_seconds:.0f} s without a request from any program"
        if isinstance(error, OSError):
            code, reason = sqlite3.SQLITE_CANTOPEN, f"{error.strerror}: {error.filename}"
        else:
            code, reason = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF, str(error)
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return StoppedEarly(
                f"The request ledger {self.path} stays locked by another program. "
                "End the program that hangs while it writes there, then run again."
            )
        if code in _REFUSED_BY_SYSTEM:
            return SettingsError(
                f"The request ledger {self.path} cannot be opened or written: {reason}. Make it and its folder "
                f"writable, with room on the disk. {quiet} it is safe to name another file instead (`ledger`)."
            )
        return SettingsError(
            f"The request ledger {self.path} is damaged ({reason}), so the requests spent are not known. "
            f"{quiet} it is safe to delete the file; not sooner. The next run creates a new one."
        )


_REFUSED_BY_SYSTEM = (
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
)


def _create(path: Path) -> None:
    """Create the whole ledger under another name, then link it, so that no process sees half a file.

    A link, unlike a rename, cannot replace a ledger that another process has created meanwhile.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)  # 0600, and SQLite keeps that
    os.close(handle)
    try:
        with closing(sqlite3.connect(draft, isolation_level=None)) as connection:
            connection.executescript(SCHEMA)
        with suppress(FileExistsError):  # another process was first
            os.link(draft, path)
    finally:
        os.unlink(draft)


def _check(connection: sqlite3.Connection) -> None:
    """Raise `sqlite3.DatabaseError` unless this is a whole ledger: an emptied file would look like an unused budget."""
    if connection.execute("PRAGMA application_id").fetchone() != (LEDGER_ID,):
        raise sqlite3.DatabaseError("it is not a request ledger")
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)


def _checksum(cells: list[str | float | None]) -> int:
    stored = [float(cell) if isinstance(cell, int) else cell for cell in cells]  # a REAL column returns floats
    return zlib.crc32(repr(stored).encode())
