"""The request ledger in SQLite: one file, one row a request, shared by every process and thread of a machine.

It stores and counts; `budget.py` decides. Another storage is another class with `prepare`, `reserve`, `settle`,
`block` and `read`.

Each operation opens the file, does one transaction and closes it: nothing is held while a request is under way,
and nothing is inherited over a fork. The rollback journal is used rather than WAL because it also works in
containers' shared folders and home folders on NFS, and costs the same here.
"""

import os
import sqlite3
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipelines.errors import CallsError, SettingsWrong, StoppedEarly
from pipelines.machine import Clock, Instant, is_alive, is_own, own_holder

DAY_SECONDS = 86_400.0  # no window and no block is longer, so rows older than this are in nobody's
LEDGER_ID = 0x63616C6C  # SQLite's application_id: tells a ledger from an emptied or foreign file
WRITE_TIMEOUT_SECONDS = 30.0
READ_TIMEOUT_SECONDS = 5.0

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
class Spent:
    """What one account has spent, as its ledger sees it at `now`."""

    now: Instant
    ages: tuple[float, ...]  # seconds since each answer; negative where it is only presumed to come
    in_flight: int
    block_left: float  # seconds; 0 when the PBX has not refused


@dataclass(frozen=True)
class Row:
    """One request, or one block."""

    id: int | None
    account: str
    holder: str
    block_seconds: float | None = None
    since: Instant | None = None

    def left(self, now: Instant, hold_seconds: float) -> float:
        """Seconds this row still counts, if it is held so long after its stamp."""
        if self.since is None:
            return hold_seconds
        return (self.block_seconds or hold_seconds) - now.seconds_since(self.since)


@dataclass(frozen=True)
class SqliteLedger:
    """One account's view of the file. Raises `SettingsWrong` when it cannot be used, `StoppedEarly` when locked."""

    path: Path
    account: str = field(repr=False)
    hold_seconds: float  # a request counts for so long after its answer
    late_seconds: float  # an unanswered request may arrive so long after its sender gave up or died
    clock: Clock

    def prepare(self) -> None:
        """Makes the file where there is none (0600, its folder 0700); reads it where there is one."""
        try:
            if not self.path.exists():
                _create(self.path)
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(error) from error
        self.read()

    def reserve(self, has_room: Callable[[Spent], bool]) -> tuple[Row | None, Spent]:
        """Reserves one request if there is room: durable, and no two callers see the same room."""
        with self._transaction("IMMEDIATE", WRITE_TIMEOUT_SECONDS) as connection:
            now = self.clock()  # after the lock: what came free during the wait for it is free
            spent = self._count(self._notice(connection, now), now)
            if not has_room(spent):
                return None, spent
            return write_row(connection, Row(None, self.account, own_holder())), spent

    def settle(self, reserved: Row, *, answered: bool) -> None:
        """Lets a reserved request count from now on; if it had no answer, from when it can no longer arrive."""
        now = self.clock()  # before the lock: the answer is in
        if not is_own(reserved.holder):
            return  # a forked child leaves the block too; the answer is its parent's
        since = now if answered else now.shifted(self.late_seconds)
        with self._transaction("IMMEDIATE", WRITE_TIMEOUT_SECONDS) as connection:
            write_row(connection, replace(reserved, since=since))

    def block(self, seconds: float) -> None:
        """Marks the window full. Blocks add up to the longest of them, so none is shortened."""
        now = self.clock()
        with self._transaction("IMMEDIATE", WRITE_TIMEOUT_SECONDS) as connection:
            write_row(connection, Row(None, self.account, "", seconds, now))

    def read(self) -> Spent:
        """Counts without writing: readers wait only for the moment in which another's commit reaches the disk."""
        with self._transaction("DEFERRED", READ_TIMEOUT_SECONDS) as connection:
            rows = read_rows(connection)
        now = self.clock()
        return self._count([self._seen(row, now) for row in rows], now)

    def _notice(self, connection: sqlite3.Connection, now: Instant) -> list[Row]:
        """Writes down what can be seen now, of every account: processes that died, another boot, rows long over."""
        kept = []
        for row in read_rows(connection):
            seen = self._seen(row, now)
            if seen.left(now, self.hold_seconds if seen.account == self.account else DAY_SECONDS) <= 0:
                connection.execute("DELETE FROM requests WHERE id = ?", (row.id,))
                continue
            if seen != row:
                write_row(connection, seen)
            kept.append(seen)
        return kept

    def _seen(self, row: Row, now: Instant) -> Row:
        """The row as it stands now. A live process wrongly taken for dead does no harm: its answer restamps the row."""
        if row.since is None:
            return row if is_alive(row.holder) else replace(row, since=now.shifted(self.late_seconds))
        if row.since.boot == now.boot:
            return row
        return replace(row, since=now.shifted(-now.seconds_since(row.since)))

    def _count(self, rows: list[Row], now: Instant) -> Spent:
        own = [row for row in rows if row.account == self.account and row.left(now, self.hold_seconds) > 0]
        blocks = [row.left(now, self.hold_seconds) for row in own if row.block_seconds]
        requests = [row for row in own if not row.block_seconds]
        ages = tuple(now.seconds_since(row.since) for row in requests if row.since)
        return Spent(now, ages, len(requests) - len(ages), max(blocks, default=0.0))

    @contextmanager
    def _transaction(self, kind: str, timeout_seconds: float) -> Iterator[sqlite3.Connection]:
        # mode=rw: a ledger that vanished must not come back empty
        address = self.path.absolute().as_uri() + "?mode=rw"
        try:
            with closing(
                sqlite3.connect(address, uri=True, timeout=timeout_seconds, isolation_level=None)
            ) as connection:
                connection.execute("PRAGMA synchronous = EXTRA")  # the folder too: power may fail after the commit
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
            return SettingsWrong(
                f"The request ledger {self.path} cannot be opened or written: {reason}. Make it and its folder "
                f"writable, with room on the disk. {quiet} it is safe to name another file instead (`ledger`)."
            )
        return SettingsWrong(
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
