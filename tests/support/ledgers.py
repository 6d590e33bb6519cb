"""Ledgers for the tests of the budget: a SQLite file, or the first database of a Postgres server.

A test can set the database's clock too: the URL puts a schema with clock functions of the same names before
`pg_catalog`, so the ledger runs the same statements as in production.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any, Literal

import psycopg2
import pytest

from pipelines.budget import Budget, Limits
from pipelines.budget.clock import Instant, read_clock
from pipelines.budget.sqlite import SqliteTransaction
from pipelines.errors import BudgetSpent
from tests.support.postgres_server import ask, server

HOST, KEY = "pbx.example", "a-key-that-nobody-has"
LIMITS = Limits(requests=5, window_seconds=100, reserve_interactive=1)
ACCOUNT = sha256(f"{HOST}\0{KEY}".encode()).hexdigest()
TAKE_LOCK = f"SELECT pg_advisory_xact_lock({int.from_bytes(bytes.fromhex(ACCOUNT)[:8], signed=True)})"
START = 1_800_000_000.0
SET_CLOCK = "&options=-csearch_path%3Dset_clock%2Cpg_catalog"
SET_CLOCK_SCHEMA = """
CREATE SCHEMA IF NOT EXISTS set_clock;
CREATE TABLE IF NOT EXISTS set_clock.now (shown double precision, started double precision);
CREATE OR REPLACE FUNCTION set_clock.clock_timestamp() RETURNS timestamptz VOLATILE LANGUAGE sql
    AS 'SELECT to_timestamp(shown) FROM set_clock.now';
CREATE OR REPLACE FUNCTION set_clock.pg_postmaster_start_time() RETURNS timestamptz VOLATILE LANGUAGE sql
    AS 'SELECT to_timestamp(started) FROM set_clock.now';
DELETE FROM set_clock.now;
"""
SESSION_OF = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_locks JOIN calls_ledger.requests
ON (classid::bigint << 32) | objid::bigint = split_part(holder, ' ', 1)::bigint
WHERE locktype = 'advisory' AND objsubid = 1 AND id = %s AND since IS NULL
"""
Engine = Literal["sqlite", "postgres"]
ENGINES: tuple[str, ...] = ("sqlite", "postgres")
keys = (f"{KEY} {number}" for number in count())


@dataclass
class SetClock:
    """A machine's two clocks, set by the test; `on_advance` moves the database's clock with them."""

    wall: float = START
    uptime: float = 5_000.0
    boot: str = "first"
    on_advance: Callable[[float], None] = lambda _: None

    def __call__(self) -> Instant:
        return Instant(self.wall, self.uptime, self.boot)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.wall += seconds
        self.uptime += seconds
        self.on_advance(seconds)

    def reboot(self, boot: str, wall_shift: float = 0.0) -> None:
        """Restart the machine in no time, with its wall clock shifted."""
        self.boot, self.uptime, self.wall = boot, 0.0, self.wall + wall_shift


def postgres_url(user: str = "postgres", password: str = "", options: str = "") -> str:
    """The server's address for a login; the server accepts any password."""
    uri: str = server().get_uri()
    return uri.replace("postgres:@", f"{user}:{password}@") + options


def execute(statement: str, *values: object, url: str = "") -> list[tuple[Any, ...]]:
    """Run a statement as the server's administrator and commit it."""
    return ask(url or postgres_url(), statement, values=values)


@contextmanager
def held(statement: str, *values: object) -> Iterator[Any]:
    """Another program that has run a statement and has not committed."""
    with closing(psycopg2.connect(postgres_url())) as connection, connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        yield cursor


def empty_postgres() -> str:
    """The URL of a database without a ledger."""
    execute("DROP SCHEMA IF EXISTS calls_ledger CASCADE")
    return postgres_url()


@dataclass(frozen=True)
class Place:
    """One ledger, one key, and the clock of the budgets on it."""

    address: Path | str
    key: str = KEY
    clock: SetClock = field(default_factory=SetClock)

    def open(
        self, limits: Limits = LIMITS, *, host: str = HOST, key: str = "", clock: SetClock | None = None
    ) -> Budget:
        """A budget on it, as another program would open it."""
        return Budget(self.address, host, key or self.key, limits, clock or self.clock)

    def under_way(self) -> set[int]:
        """The ids of all keys' requests that are neither answered nor given up."""
        if isinstance(self.address, str):
            return {row_id for (row_id,) in execute("SELECT id FROM calls_ledger.requests WHERE since IS NULL")}
        with closing(sqlite3.connect(self.address)) as connection:
            entries = SqliteTransaction(connection, read_clock).entries()
            return {entry.id for entry in entries if entry.id is not None and entry.since is None}

    def lose(self, row_id: int) -> None:
        """Make the sender of a request look dead: another process has its pid, or its session has ended."""
        if isinstance(self.address, str):
            execute(SESSION_OF, row_id)
            return
        with closing(sqlite3.connect(self.address, isolation_level=None)) as connection:
            ledger = SqliteTransaction(connection, read_clock)
            for entry in ledger.entries():
                if entry.id == row_id and entry.since is None:
                    ledger.write(replace(entry, holder=f"{entry.holder}1"))


def spend(budget: Budget, count: int, *, interactive: bool = False) -> None:
    """Send `count` requests, each answered at once."""
    for _ in range(count):
        with budget.slot(interactive=interactive):
            pass


def until(budget: Budget, *, interactive: bool = False) -> float:
    """Assert that no slot is free; return the refusal's `until`."""
    with pytest.raises(BudgetSpent) as caught, budget.slot(interactive=interactive):
        pass
    return caught.value.until


@contextmanager
def set_clock_postgres() -> Iterator[Place]:
    """A place in Postgres with a key of its own, where the database's clock moves with the place's."""
    server()
    execute(SET_CLOCK_SCHEMA)
    with closing(psycopg2.connect(postgres_url())) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("INSERT INTO set_clock.now VALUES (%s, %s)", [START, START - 1_000])

        def advance(seconds: float) -> None:
            cursor.execute("UPDATE set_clock.now SET shown = shown + %s", [seconds])

        yield Place(postgres_url(options=SET_CLOCK), next(keys), SetClock(on_advance=advance))


def set_database_clock(shift: float) -> None:
    """Set the database's clock and no other."""
    execute("UPDATE set_clock.now SET shown = shown + %s", shift)


def fail_over(shift: float) -> None:
    """Let a standby whose clock differs by `shift` seconds take over."""
    execute("UPDATE set_clock.now SET shown = shown + %s, started = started + 1", shift)
