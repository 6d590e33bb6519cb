"""The request ledger in Postgres, for hosts that share a key: `ledger = "postgresql://…"`.

*Time.* The database's clock alone counts, read under the account's lock, so hosts may disagree on the time as they
like. An account's own seconds pass as that clock does, but never back: a clock set back stops them until the next
look, which lengthens a wait by the time between two looks, a window at most. When another start of the server is
seen, they pass `STAND_IN_SECONDS` less, so a stand-in may be ahead by as much. A larger step forward cannot be told
from time that passed, and frees slots early by its length: keep the database's hosts on NTP.

*Who is alive.* The session that reserved a slot stays open until the slot is settled, and holds an advisory lock. The
server ends it, and so frees the lock, when its process dies, or half a minute after its host vanished. A session may
also end under a live request (the server restarts): that counts as a death, and the answer then restamps the row
through a new session. The promise holds as long as a request ends within a window of that, as time-outs see to.

*Durable* is what the server calls so: with `fsync = off`, or where a stand-in takes over that did not have to confirm
commits, it may forget requests. A pooler has to give each client a session of its own; one that does not breaks no
promise, but keeps a dead request counted for as long as its own sessions live.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Session
from psycopg2.extensions import cursor as Cursor

from pipelines.budget.clock import Clock, Instant
from pipelines.budget.ledger import FORGET_SECONDS, READ_TIMEOUT_SECONDS, WRITE_TIMEOUT_SECONDS, Row
from pipelines.budget.sessions import connect, trouble
from pipelines.errors import SettingsError, StoppedEarly

STAND_IN_SECONDS = 5.0  # clocks under NTP differ by far less
PREPARE_LOCK = 0x63616C6C
DATABASE = "database"  # its seconds never begin anew, so all of them belong to one boot

# One schema whatever the login: two tables of one name would be two budgets for one key.
TABLES = """
CREATE TABLE IF NOT EXISTS calls_ledger.accounts (
    account text PRIMARY KEY,          -- hash of host and key
    server double precision NOT NULL,  -- when the server that looked last was started, Unix seconds by its clock
    clock double precision NOT NULL,   -- what its clock showed then
    seconds double precision NOT NULL  -- the account's own time then, which never goes back
);
CREATE TABLE IF NOT EXISTS calls_ledger.requests (
    id bigint PRIMARY KEY,           -- drawn at random, so none comes again
    account text NOT NULL REFERENCES calls_ledger.accounts ON DELETE CASCADE,
    holder text NOT NULL,            -- the advisory lock of the session that sent it, and its process there
    block_seconds double precision,  -- not a request but a 429: the window is full for so long
    since double precision           -- it counts from here, in its account's seconds; null while it is under way
);
CREATE INDEX IF NOT EXISTS requests_account ON calls_ledger.requests (account);
"""
# The server's own defaults may be weaker. Under a stricter isolation a snapshot from before the lock would be read.
BEGIN_WRITING = """
BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
SET LOCAL synchronous_commit = on;
SET LOCAL statement_timeout = 0;
SET LOCAL idle_in_transaction_session_timeout = '20s';
SET LOCAL lock_timeout = %(patience)s;
SELECT pg_advisory_xact_lock(%(lock)s)
"""
BEGIN_READING = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; SET LOCAL lock_timeout = %(patience)s"
NOW = """
SELECT extract(epoch FROM clock_timestamp())::float8, extract(epoch FROM pg_postmaster_start_time())::float8,
    accounts.clock, accounts.server, accounts.seconds
FROM (SELECT 1) AS one LEFT JOIN calls_ledger.accounts ON accounts.account = %s
"""
KEEP_NOW = """
INSERT INTO calls_ledger.accounts (clock, server, seconds, account) VALUES (%s, %s, %s, %s)
ON CONFLICT (account) DO UPDATE SET (clock, server, seconds) = (excluded.clock, excluded.server, excluded.seconds)
"""
READ = "SELECT id, account, holder, block_seconds, since FROM calls_ledger.requests WHERE account = %s"
WRITE = """
INSERT INTO calls_ledger.requests (id, account, holder, block_seconds, since) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (id) DO UPDATE SET (holder, since) = (excluded.holder, excluded.since)
"""
HELD_LOCKS = """
SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks
WHERE locktype = 'advisory' AND objsubid = 1 AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
# Two that start at once must not wait for each other's accounts.
FORGET_ACCOUNTS = """
DELETE FROM calls_ledger.accounts WHERE account IN (
    SELECT account FROM calls_ledger.accounts
    WHERE clock < extract(epoch FROM clock_timestamp())::float8 - %s FOR UPDATE SKIP LOCKED
)
"""


def seconds_passed(seconds: float, clock: float, is_same_server: bool) -> float:
    """How far an account's own time goes on when the database's clock has done so by `clock` since the last look."""
    return seconds + max(0.0, clock if is_same_server else clock - STAND_IN_SECONDS)


@dataclass
class PostgresBook:
    """One transaction: the account's rows, and the database's clock and sessions."""

    cursor: Cursor
    account: str
    clock: Clock  # only to tell people, and those who sleep, an instant by their own clock
    is_read: bool = False
    reserved_by: str = ""
    locks: set[int] | None = None

    def now(self) -> Instant:
        self.cursor.execute(NOW, [self.account])
        clock, server, clock_before, server_before, seconds = _one(self.cursor)
        seconds = clock if seconds is None else seconds_passed(seconds, clock - clock_before, server == server_before)
        if not self.is_read:
            self.cursor.execute(KEEP_NOW, [clock, server, seconds, self.account])
        return Instant(self.clock().wall, seconds, DATABASE)

    def rows(self) -> list[Row]:
        self.cursor.execute(READ, [self.account])
        return [
            Row(row_id, account, holder, block_seconds, None if since is None else Instant(since, since, DATABASE))
            for row_id, account, holder, block_seconds, since in self.cursor.fetchall()
        ]

    def write(self, row: Row) -> Row:
        row = replace(row, id=secrets.randbits(63) if row.id is None else row.id)
        since = row.since and row.since.uptime
        self.cursor.execute(WRITE, [row.id, row.account, row.holder, row.block_seconds, since])
        return row

    def forget(self, row: Row) -> None:
        self.cursor.execute("DELETE FROM calls_ledger.requests WHERE id = %s", [row.id])

    def holder(self) -> str:
        lock = secrets.randbits(63)
        self.cursor.execute("SELECT pg_advisory_lock(%s)", [lock])
        self.reserved_by = f"{lock} {os.getpid()}"
        return self.reserved_by

    def is_alive(self, holder: str) -> bool:
        if self.locks is None:
            self.cursor.execute(HELD_LOCKS)
            self.locks = {lock for (lock,) in self.cursor.fetchall()}
        return int(holder.split(maxsplit=1)[0]) in self.locks


@dataclass(frozen=True)
class PostgresStorage:
    """One account's view of the database. Each slot and each look has a session of its own, so threads share none."""

    url: str = field(repr=False)
    account: str = field(repr=False)
    clock: Clock
    write_timeout_seconds: float = WRITE_TIMEOUT_SECONDS
    read_timeout_seconds: float = READ_TIMEOUT_SECONDS
    _held: dict[str, Session] = field(default_factory=dict, repr=False)  # by holder: requests under way

    def prepare(self) -> None:
        """Makes schema and tables where there are none; drops what accounts left that are no longer used."""
        session = connect(self.url, SettingsError)
        with self._transaction(session, BEGIN_WRITING, PREPARE_LOCK) as cursor:
            cursor.execute("SELECT to_regclass('calls_ledger.requests'), to_regnamespace('calls_ledger')")
            table, schema = _one(cursor)
            if schema is None:
                cursor.execute("CREATE SCHEMA calls_ledger")
            if table is None:
                cursor.execute(TABLES)
            cursor.execute(FORGET_ACCOUNTS, [FORGET_SECONDS])
        session.close()

    @contextmanager
    def writing(self, holder: str = "") -> Iterator[PostgresBook]:
        """Holds the account's lock until the end, which is durable; a session that reserved a slot stays open."""
        session = self._session_of(holder)
        with self._transaction(session, BEGIN_WRITING, _lock_of(self.account)) as cursor:
            book = PostgresBook(cursor, self.account, self.clock)
            yield book
        if book.reserved_by:
            self._held[book.reserved_by] = session
        else:
            session.close()

    @contextmanager
    def reading(self) -> Iterator[PostgresBook]:
        """The rows as of the last commit."""
        session = connect(self.url, StoppedEarly)
        with self._transaction(session, BEGIN_READING) as cursor:
            yield PostgresBook(cursor, self.account, self.clock, is_read=True)
        session.close()

    def _session_of(self, holder: str) -> Session:
        """The holder's own session, or another where the server has ended it while the request was under way."""
        session = self._held.pop(holder, None)
        if session is not None:
            with suppress(psycopg2.Error), session.cursor() as cursor:
                cursor.execute("SELECT 1")
                return session
            session.close()
        return connect(self.url, StoppedEarly)

    @contextmanager
    def _transaction(self, session: Session, begin: str, lock: int = 0) -> Iterator[Cursor]:
        """Commits at the end; closes the session where it does not come to that."""
        patience = self.write_timeout_seconds if lock else self.read_timeout_seconds
        try:
            with session.cursor() as cursor:
                cursor.execute(begin, {"patience": f"{patience * 1_000:.0f}ms", "lock": lock})
                yield cursor
                cursor.execute("COMMIT")
        except BaseException as error:
            login = session.info.user
            session.close()
            if isinstance(error, psycopg2.Error):
                raise trouble(self.url, login, error) from None
            raise


def _lock_of(account: str) -> int:
    return int.from_bytes(bytes.fromhex(account)[:8], signed=True)


def _one(cursor: Cursor) -> tuple[Any, ...]:
    (row,) = cursor.fetchall()
    return tuple(row)
