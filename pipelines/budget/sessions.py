"""Sessions with the ledger's Postgres: how one is opened, what is told when it fails, and what a fork does to it.

The URL holds a password, and a server's own messages may quote what stands in the URL: neither is ever shown.
"""

import os
from weakref import WeakSet

import psycopg2
from psycopg2 import errors
from psycopg2.extensions import connection as Session
from psycopg2.extensions import make_dsn, parse_dsn

from pipelines.errors import CallsError, SettingsError, StoppedEarly

PREFIXES = ("postgresql://", "postgres://")
# Unless the URL says otherwise: a server that no longer answers is given up after half a minute.
CONNECT = {
    "connect_timeout": "10",
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
    "fallback_application_name": "calls",
}
# A session with a request under way is idle: it has to end soon after its host vanished, and not sooner.
KEEP = """
SET tcp_keepalives_idle = 15;
SET tcp_keepalives_interval = 5;
SET tcp_keepalives_count = 3;
SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout'
"""
# What a refused connection says, and what is told of it; the first passes by itself.
PASSING = {
    "starting up": "the server is starting",
    "shutting down": "the server is stopping",
    "too many": "the server has too many sessions",
    "slots are reserved": "the server has too many sessions",
}
REFUSALS = PASSING | {
    "password": "it refuses the user or the password",
    "does not exist": "it has no such user or database",
    "pg_hba.conf": "it does not let this user in from here",
    "translate host name": "the host's name is not known",
    "refused": "nothing answers there",
    "timeout expired": "nothing answers there",
    "No such file": "no server runs there",
}

_sessions: "WeakSet[Session]" = WeakSet()  # of this process


def is_url(ledger: str) -> bool:
    """Whether the setting names a Postgres and no file."""
    return ledger.startswith(PREFIXES)


def check_url(url: str) -> dict[str, str]:
    """The URL's parts as libpq understands them. Raises `ValueError`, whose text holds none of them."""
    try:
        parts: dict[str, str] = parse_dsn(url)
    except psycopg2.ProgrammingError:
        raise ValueError("it is no Postgres URL such as postgresql://user:password@db.example:5432/ledgers") from None
    if "@" in parts.get("host", "") + parts.get("dbname", ""):  # messages name these two
        raise ValueError("its password has to be percent-encoded: @ as %40, / as %2F, : as %3A, % as %25")
    return parts


def connect(url: str, failed: type[CallsError]) -> Session:
    """A new session. `failed` is what it means that there is none: wrong settings only where it never worked."""
    try:
        session = psycopg2.connect(make_dsn(**CONNECT | check_url(url)))
        _sessions.add(session)
        session.autocommit = True
        with session.cursor() as cursor:
            cursor.execute(KEEP)
    except psycopg2.Error as error:
        found = next((text for text in REFUSALS if text in str(error)), "")
        reason = REFUSALS.get(found, "no connection came about")
        raise (StoppedEarly if found in PASSING else failed)(
            f"{_shown(url)} cannot be reached: {reason}. Check that the server runs and lets this machine in, and "
            "host, user, password and database in the setting `ledger`."
        ) from None
    return session


def trouble(url: str, login: str, error: psycopg2.Error) -> CallsError:
    """The one place where an error of the database's becomes one of ours."""
    what = f"{_shown(url)} {{}} ({error.pgcode or 'connection lost'}). "
    match error:
        case errors.LockNotAvailable() | errors.QueryCanceled() | errors.DeadlockDetected():
            return StoppedEarly(
                what.format("stays locked by another program")
                + "End the program that hangs while it writes there, then run again."
            )
        case errors.InsufficientPrivilege():
            return SettingsError(
                what.format(f"may not be used by the login {login}")
                + f'Let an administrator run: CREATE SCHEMA IF NOT EXISTS calls_ledger AUTHORIZATION "{login}"; or, '
                f'where another login made it: GRANT USAGE ON SCHEMA calls_ledger TO "{login}"; '
                f'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA calls_ledger TO "{login}";'
            )
        case errors.ReadOnlySqlTransaction() | errors.FeatureNotSupported():
            return SettingsError(
                what.format("cannot be written") + "Name the primary server in the setting `ledger`, no stand-in."
            )
        case errors.UndefinedTable() | errors.UndefinedColumn() | errors.InvalidSchemaName():
            return SettingsError(
                what.format("is gone or altered, so what has been spent is not known")
                + "After a window without a request from any program, drop the schema calls_ledger and run again."
            )
        case psycopg2.OperationalError() | psycopg2.InterfaceError():
            return StoppedEarly(
                what.format("broke off") + "Run again when the server is well; a slot that was taken stays counted."
            )
    return SettingsError(what.format("cannot be used") + "Look into the server's log, and check its disk.")


def _shown(url: str) -> str:
    parts = check_url(url)
    where = f"{parts.get('dbname', 'the default database')} at {parts.get('host', 'the default host')}"
    return f"The request ledger in Postgres ({where})"


def _leave_to_parent() -> None:
    """A forked child's copies would keep the parent's sessions open, and its requests alive, after its death."""
    for session in _sessions:
        if not session.closed:
            os.close(session.fileno())
    _sessions.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)
