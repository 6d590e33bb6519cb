"""What Postgres needs beside dlt and dbt: its address in dlt's words, one writer of table definitions, indexes."""

import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal

import psycopg2
from dlt.destinations.impl.postgres.configuration import PostgresCredentials
from psycopg2 import sql
from psycopg2.extensions import parse_dsn

from pipelines.errors import AlreadyRunning, SettingsError, WarehouseLocked

DAY_INDEXED = ("user_calls", "queue_calls", "ringgroup_calls")
# Postgres takes a page by index to cost four of a scan, as on a turning disk, and then scans a million rows for the few
# of a night: 0.3 s a table instead of 0.001 s.
PLANNER_OPTIONS = "-c random_page_cost=1.1"
# Advisory locks, by two numbers: ours, and what is held.
LOCKS = {"definitions": 1, "build": 2}
OURS = 0x63616C6C
GLANCE_SECONDS = 3.0  # a run that was killed holds its lock until the server notices


def parse_url(url: str) -> dict[str, str]:
    """A Postgres URL's parts by libpq's names. Raises `SettingsError`, without the URL, which may hold a password."""
    try:
        return dict(parse_dsn(url))
    except psycopg2.ProgrammingError:
        raise SettingsError(
            "The address of the Postgres warehouse cannot be read. It looks like "
            "postgresql://user:password@host:5432/database; write %40 for an @ within the password."
        ) from None


def as_credentials(url: str) -> PostgresCredentials:
    """The address as dlt takes it, also without a password (peer, .pgpass) or with a folder of sockets as its host."""
    parts = parse_url(url)
    credentials = PostgresCredentials()
    credentials.database = parts.pop("dbname", "") or parts.get("user", "postgres")
    credentials.username = parts.pop("user", "") or credentials.database
    credentials.password = parts.pop("password", "")
    credentials.port = int(parts.pop("port", "5432"))
    credentials.connect_timeout = int(parts.pop("connect_timeout", "15"))
    host = parts.pop("host", "localhost")
    credentials.host = "localhost" if host.startswith("/") else host
    # What the URL says comes last, and holds. dlt writes a space in a URL as a plus, which libpq takes for one.
    parts["options"] = "\t".join([*PLANNER_OPTIONS.split(), *parts.get("options", "").split()])
    credentials.query = {**parts, **({"host": host} if host.startswith("/") else {})}
    return credentials


@contextmanager
def hold(url: str, what: Literal["definitions", "build"], *, wait: bool) -> Iterator[Any]:
    """Holds a lock of the database's until the end, or until this process dies; gives a cursor that commits at once.

    Raises `WarehouseLocked` if another holds it and `wait` is false, `SettingsError` if no server answers.
    """
    connection = connect(url)
    try:
        connection.autocommit = True
        cursor = connection.cursor()
        _take(cursor, what, wait=wait)
        try:
            yield cursor
        finally:
            with suppress(psycopg2.Error):  # closing alone would free it only once the server has noticed
                cursor.execute("select pg_advisory_unlock(%s, %s)", [OURS, LOCKS[what]])
    finally:
        connection.close()


def _take(cursor: Any, what: str, *, wait: bool) -> None:
    if wait:
        cursor.execute("select pg_advisory_lock(%s, %s)", [OURS, LOCKS[what]])
        return
    until = time.monotonic() + GLANCE_SECONDS
    while True:
        cursor.execute("select pg_try_advisory_lock(%s, %s)", [OURS, LOCKS[what]])
        if cursor.fetchone() == (True,):
            return
        if time.monotonic() > until:
            raise WarehouseLocked(
                "Another run is building or publishing in the Postgres warehouse. What was loaded stands; run again "
                "when it has ended."
            )
        time.sleep(0.1)


@contextmanager
def hold_account(url: str, account: str) -> Iterator[None]:
    """Holds an account in the database, so that no other host's run loads it. Raises `AlreadyRunning`.

    Two loads that share a staging dataset lose and double rows.
    """
    connection = connect(url)
    try:
        connection.autocommit = True
        cursor = connection.cursor()
        key = zlib.crc32(account.encode()) - 2**31  # Postgres' integers have a sign
        cursor.execute("select pg_try_advisory_lock(%s, %s)", [OURS + 1, key])
        if cursor.fetchone() == (False,):
            raise AlreadyRunning(
                f"{account}: another run, perhaps another host's, is loading this account into the Postgres warehouse. "
                "It keeps what it reads; run again when it has ended."
            )
        yield
    finally:
        connection.close()


def connect(url: str) -> Any:
    """A connection. Raises `SettingsError` if no server answers, or if it refuses this login."""
    parse_url(url)
    try:
        return psycopg2.connect(url)
    except psycopg2.OperationalError:
        raise SettingsError(
            "The Postgres warehouse cannot be reached. Check host, port, database, user and password in credentials "
            "of [destination.postgres], and that the server runs. No request was spent on this."
        ) from None


def index_days(cursor: Any, dataset: str) -> None:
    """An index by account and day, without which each night would search all that was ever loaded for its few days."""
    cursor.execute("select tablename, indexname from pg_indexes where schemaname = %s", [dataset])
    there = {table for table, index in cursor.fetchall() if index == f"{table}_by_day"}
    cursor.execute("select tablename from pg_tables where schemaname = %s", [dataset])
    tables = {table for (table,) in cursor.fetchall()}
    for table in DAY_INDEXED:
        if table in tables and table not in there:  # looked up first: `if not exists` waits for others' loads
            cursor.execute(
                sql.SQL("create index {} on {} (account, call_day)").format(
                    sql.Identifier(f"{table}_by_day"), sql.Identifier(dataset, table)
                )
            )
