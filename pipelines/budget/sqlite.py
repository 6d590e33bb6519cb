"""The request ledger in SQLite: one file for every process and thread of a machine.

Each operation opens the file, does one transaction and closes it: nothing is held while a request is under way,
and nothing is inherited over a fork. The rollback journal is used rather than WAL because it also works in
containers' shared folders and home folders on NFS; it stays beside the file, blank between two transactions.
"""

import os
import sqlite3
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.budget.clock import Clock, Instant, is_alive, own_holder
from pipelines.budget.ledger import READ_TIMEOUT_SECONDS, WRITE_TIMEOUT_SECONDS, Row
from pipelines.errors import CallsError, SettingsError, StoppedEarly

LEDGER_ID = 0x63616C6C  # SQLite's application_id: tells a ledger from an emptied or foreign file

# AUTOINCREMENT: an id must not come again while a slow request may still be answered under it.
SCHEMA = f"""
PRAGMA synchronous = EXTRA;
PRAGMA application_id = {LEDGER_ID};
CREATE TABLE requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account TEXT NOT NULL,   -- hash of host and key
    holder TEXT NOT NULL,    -- the process that sent it
    block_seconds REAL,      -- not a request but a 429: the window is full for so long
    since_wall REAL,         -- it counts from here; null while it is under way
    since_uptime REAL,
    since_boot TEXT,
    checksum INTEGER NOT NULL  -- SQLite keeps none, and a row that lost a bit may be counted for nobody
);
"""


@dataclass(frozen=True)
class SqliteBook:
    """The open file: every account's rows, and this machine's clock and processes."""

    connection: sqlite3.Connection
    clock: Clock

    def now(self) -> Instant:
        return self.clock()

    def rows(self) -> list[Row]:
        return read_rows(self.connection)

    def write(self, row: Row) -> Row:
        return write_row(self.connection, row)

    def forget(self, row: Row) -> None:
        self.connection.execute("DELETE FROM requests WHERE id = ?", (row.id,))

    def holder(self) -> str:
        return own_holder()

    def is_alive(self, holder: str) -> bool:
        return is_alive(holder)


@dataclass(frozen=True)
class SqliteStorage:
    """The file. Raises `SettingsError` when it cannot be used, `StoppedEarly` when locked."""

    path: Path
    hold_seconds: float  # told where a ledger may be made anew
    clock: Clock

    def prepare(self) -> None:
        """Makes the file where there is none (0600, its folder 0700); reads it where there is one."""
        try:
            if not self.path.exists():
                _create(self.path)
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(error) from error
        with self.reading() as book:
            book.rows()

    @contextmanager
    def writing(self, holder: str = "") -> Iterator[SqliteBook]:  # noqa: ARG002 - nothing is held for anybody
        """Holds the file's write lock until the end, which is durable."""
        with self._transaction("IMMEDIATE", WRITE_TIMEOUT_SECONDS) as connection:
            yield SqliteBook(connection, self.clock)

    @contextmanager
    def reading(self) -> Iterator[SqliteBook]:
        """The file as of the last commit."""
        with self._transaction("DEFERRED", READ_TIMEOUT_SECONDS) as connection:
            yield SqliteBook(connection, self.clock)

    @contextmanager
    def _transaction(self, kind: str, timeout_seconds: float) -> Iterator[sqlite3.Connection]:
        # mode=rw: a ledger that vanished must not come back empty
        address = self.path.absolute().as_uri() + "?mode=rw"
        try:
            with closing(
                sqlite3.connect(address, uri=True, timeout=timeout_seconds, isolation_level=None)
            ) as connection:
                connection.execute("PRAGMA synchronous = EXTRA")  # the folder too: power may fail after the commit
                connection.execute("PRAGMA journal_mode = PERSIST")  # blanked by a commit; the folder stays
                connection.execute(f"BEGIN {kind}")
                _check(connection)
                yield connection
                connection.execute("COMMIT")
        except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter from what SQLite quotes of a damaged file
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
            f"The request ledger {self.path} is damaged ({reason}), so what has been spent is not known. "
            f"{quiet} it is safe to delete the file; not sooner. The next run makes a new one."
        )


_REFUSED_BY_SYSTEM = (
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
)


def _create(path: Path) -> None:
    """Makes the whole ledger under another name and links it in, so nobody sees half a one or replaces one in use."""
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
    """Refuses what is no whole ledger: an emptied file would pass for an empty budget."""
    if connection.execute("PRAGMA application_id").fetchone() != (LEDGER_ID,):
        raise sqlite3.DatabaseError("it is not a request ledger")
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)


def read_rows(connection: sqlite3.Connection) -> list[Row]:
    """Every row of every account. Raises `sqlite3.DatabaseError` for one that was not written so."""
    rows = []
    for row_id, *cells, checksum in connection.execute("SELECT * FROM requests"):
        if checksum != _checksum(cells):
            raise sqlite3.DatabaseError(f"row {row_id} is not as it was written")
        account, holder, block_seconds, wall, uptime, boot = cells
        since = None if boot is None else Instant(wall, uptime, boot)
        rows.append(Row(row_id, account, holder, block_seconds, since))
    return rows


def write_row(connection: sqlite3.Connection, row: Row) -> Row:
    """Adds the row, or puts it in place of the one with its id (also of one forgotten meanwhile)."""
    since = (row.since.wall, row.since.uptime, row.since.boot) if row.since else (None, None, None)
    cells = [row.account, row.holder, row.block_seconds, *since]
    cursor = connection.execute(
        "INSERT OR REPLACE INTO requests VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (row.id, *cells, _checksum(cells))
    )
    return replace(row, id=cursor.lastrowid)


def _checksum(cells: list[str | float | None]) -> int:
    stored = [float(cell) if isinstance(cell, int) else cell for cell in cells]  # as REAL gives it back
    return zlib.crc32(repr(stored).encode())
