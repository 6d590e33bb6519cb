"""The request ledger in Postgres, for hosts that share a key: `ledger = "postgresql://…"`.

*Time.* Only the database's clock counts, read under the account's lock, so the hosts' clocks may differ. Each account
has seconds of its own that follow this clock but never go back. If the clock is set back, they stand still until the
next look at it. That lengthens a wait by the time between two looks, at most one window. When a look finds that the
server has been started anew, `STANDBY_SECONDS` less are added, so that a standby whose clock is ahead by up to as much
frees nothing early. A larger step forward looks like passed time and frees slots early by its length: keep the
database's hosts on NTP.

*Live senders.* The session that reserved a slot stays open until the slot is settled, and holds an advisory lock. The
server ends the session and frees the lock when the sender's process dies, or half a minute after its host vanishes. A
session may also end during a live request, for example when the server restarts. Then the sender counts as dead, and
its answer restamps the entry through a new session. The promise holds if the request ends within one window of its
session's end, and the client's time-outs ensure that.

*Durability* is the server's: with `fsync = off`, or after a failover to an asynchronous standby, it may forget
requests. A pooler must give each client a session of its own. One that does not breaks no promise, but a dead request
then counts for as long as the pooler's own sessions live.
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

from pipelines.budget.clock import Instant, MachineClock
from pipelines.budget.ledger import FORGET_SECONDS, READ_TIMEOUT_SECONDS, WRITE_TIMEOUT_SECONDS, Entry
from pipelines.budget.sessions import connect, ledger_error
from pipelines.errors import SettingsError, StoppedEarly

STANDBY_SECONDS = 5.0  # clocks under NTP differ by far less
PREPARE_LOCK = 0x63616C6C
DATABASE = "database"  # an account's seconds never restart, so all of them belong to one boot

# One schema for every login: the same tables in two schemas would be two budgets for one key.
TABLES = """
CREATE TABLE IF NOT EXISTS calls_ledger.accounts (
    account text PRIMARY KEY,          -- hash of host and key
    server double precision NOT NULL,  -- at the last look: when the server was started, Unix seconds by its clock
    clock double precision NOT NULL,   -- at the last look: what the server's clock showed, Unix seconds
    seconds double precision NOT NULL  -- at the last look: the account's own seconds, which never go back
);
CREATE TABLE IF NOT EXISTS calls_ledger.requests (
    id bigint PRIMARY KEY,           -- random, so that none is used twice
    account text NOT NULL REFERENCES calls_ledger.accounts ON DELETE CASCADE,
    holder text NOT NULL,            -- the advisory lock of the sender's session, and the sender's pid on its host
    block_seconds double precision,  -- for a block after a 429: the window is full for so long; null for a request
    since double precision           -- it counts from here, in its account's seconds; null while it is under way
);
CREATE INDEX IF NOT EXISTS requests_account ON calls_ledger.requests (account);
"""
# The server's defaults may be weaker. A stricter isolation would read a snapshot from before the lock.
BEGIN_WRITING = """
BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
SET LOCAL synchronous_commit = on;
SET LOCAL statement_timeout = 0;
SET LOCAL idle_in_transaction_session_timeout = '20s';
SET LOCAL lock_timeout = %(timeout)s;
SELECT pg_advisory_xact_lock(%(lock)s)
"""
BEGIN_READING = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; SET LOCAL lock_timeout = %(timeout)s"
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
# SKIP LOCKED: two processes that start together must not wait for each other's accounts.
FORGET_ACCOUNTS = """
DELETE FROM calls_ledger.accounts WHERE account IN (
    SELECT account FROM calls_ledger.accounts
    WHERE clock < extract(epoch FROM clock_timestamp())::float8 - %s FOR UPDATE SKIP LOCKED
)
"""


def seconds_passed(seconds: float, clock: float, is_same_server: bool) -> float:
    """An account's own seconds, when the database's clock has moved by `clock` seconds since the last look."""
    return seconds + max(0.0, clock if is_same_server else clock - STANDBY_SECONDS)


@dataclass
class PostgresTransaction:
    """One transaction with the account's entries, and the database's clock and sessions."""

    cursor: Cursor
    account: str
    clock: MachineClock  # only to express an instant in this host's time, for messages and for sleeping
    is_read_only: bool = False
    reserved_by: str = ""
    locks: set[int] | None = None

    def now(self) -> Instant:
        self.cursor.execute(NOW, [self.account])
        clock, server, clock_before, server_before, seconds = _one(self.cursor)
        seconds = clock if seconds is None else seconds_passed(seconds, clock - clock_before, server == server_before)
        if not self.is_read_only:
            self.cursor.execute(KEEP_NOW, [clock, server, seconds, self.account])
        return Instant(self.clock().wall, seconds, DATABASE)

    def entries(self) -> list[Entry]:
        self.cursor.execute(READ, [self.account])
        return [
            Entry(row_id, account, holder, block_seconds, None if since is None else Instant(since, since, DATABASE))
            for row_id, account, holder, block_seconds, since in self.cursor.fetchall()
        ]

    def write(self, entry: Entry) -> Entry:
        entry = replace(entry, id=secrets.randbits(63) if entry.id is None else entry.id)
        since = entry.since and entry.since.uptime
        self.cursor.execute(WRITE, [entry.id, entry.account, entry.holder, entry.block_seconds, since])
        return entry

    def forget(self, entry: Entry) -> None:
        self.cursor.execute("DELETE FROM calls_ledger.requests WHERE id = %s", [entry.id])

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
    """One account's entries in the database. Each slot and each read has its own session, so threads share none."""

    url: str = field(repr=False)
    account: str = field(repr=False)
    clock: MachineClock
    write_timeout_seconds: float = WRITE_TIMEOUT_SECONDS
    read_timeout_seconds: float = READ_TIMEOUT_SECONDS
    _held: dict[str, Session] = field(default_factory=dict, repr=False)  # by holder: the sessions of requests under way

    def prepare(self) -> None:
        """Create schema and tables if there are none; delete what unused accounts have left."""
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
    def writing(self, holder: str = "") -> Iterator[PostgresTransaction]:
        """A transaction that holds the account's lock, durable at its end. A reserved slot's session stays open."""
        session = self._session_of(holder)
        with self._transaction(session, BEGIN_WRITING, _lock_of(self.account)) as cursor:
            transaction = PostgresTransaction(cursor, self.account, self.clock)
            yield transaction
        if transaction.reserved_by:
            self._held[transaction.reserved_by] = session
        else:
            session.close()

    @contextmanager
    def reading(self) -> Iterator[PostgresTransaction]:
        """A transaction that reads the entries as of the last commit."""
        session = connect(self.url, StoppedEarly)
        with self._transaction(session, BEGIN_READING) as cursor:
            yield PostgresTransaction(cursor, self.account, self.clock, is_read_only=True)
        session.close()

    def _session_of(self, holder: str) -> Session:
        """The holder's own session, or a new one if the server has ended it while the request was under way."""
        session = self._held.pop(holder, None)
        if session is not None:
            with suppress(psycopg2.Error), session.cursor() as cursor:
                cursor.execute("SELECT 1")
                return session
            session.close()
        return connect(self.url, StoppedEarly)

    @contextmanager
    def _transaction(self, session: Session, begin: str, lock: int = 0) -> Iterator[Cursor]:
        """Run one transaction; on an error, close the session and translate the error."""
        timeout = self.write_timeout_seconds if lock else self.read_timeout_seconds
        try:
            with session.cursor() as cursor:
                cursor.execute(begin, {"timeout": f"{timeout * 1_000:.0f}ms", "lock": lock})
                yield cursor
                cursor.execute("COMMIT")
        except BaseException as error:
            login = session.info.user
            session.close()
            if isinstance(error, psycopg2.Error):
                raise ledger_error(self.url, login, error) from None
            raise


def _lock_of(account: str) -> int:
    return int.from_bytes(bytes.fromhex(account)[:8], signed=True)


def _one(cursor: Cursor) -> tuple[Any, ...]:
    (row,) = cursor.fetchall()
    return tuple(row)
