"""Sessions with the ledger's Postgres: connecting, error messages, and forks.

No message holds the URL, which may contain a password, or a server's own message, which may quote the URL.
"""

import os
from weakref import WeakSet

import psycopg2
from psycopg2 import errors
from psycopg2.extensions import connection as Session
from psycopg2.extensions import make_dsn, parse_dsn

from pipelines.errors import CallsError, SettingsError, StoppedEarly

PREFIXES = ("postgresql://", "postgres://")
# Defaults that the URL can override: give up on a server that does not answer for half a minute.
CONNECT = {
    "connect_timeout": "10",
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
    "fallback_application_name": "calls",
}
# A session is idle while its request is under way. The server must end it soon after its host vanishes, not before.
KEEP_IDLE = """
SET tcp_keepalives_idle = 15;
SET tcp_keepalives_interval = 5;
SET tcp_keepalives_count = 3;
SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout'
"""
# A phrase in libpq's message → the reason to report. The first group passes by itself.
PASSING = {
    "starting up": "the server is starting",
    "shutting down": "the server is stopping",
    "too many": "the server has too many sessions",
    "slots are reserved": "the server has too many sessions",
}
REFUSALS = PASSING | {
    "password": "the server refuses the user or the password",
    "does not exist": "the server has no such user or database",
    "pg_hba.conf": "the server's pg_hba.conf does not allow this user from this machine",
    "translate host name": "the host's name cannot be resolved",
    "refused": "no server answers there",
    "timeout expired": "no server answers there",
    "No such file": "no server runs there",
}

_sessions: "WeakSet[Session]" = WeakSet()  # of this process


def is_url(ledger: str) -> bool:
    """Whether the setting `ledger` is a Postgres URL and not a file."""
    return ledger.startswith(PREFIXES)


def check_url(url: str) -> dict[str, str]:
    """The URL's parts, by libpq's names. Raises `ValueError`; its text holds no part of the URL."""
    try:
        parts: dict[str, str] = parse_dsn(url)
    except psycopg2.ProgrammingError:
        raise ValueError(
            "it is not a Postgres URL such as postgresql://user:password@db.example:5432/ledgers"
        ) from None
    if "@" in parts.get("host", "") + parts.get("dbname", ""):  # messages name these two
        raise ValueError("its password must be percent-encoded: @ as %40, / as %2F, : as %3A, % as %25")
    return parts


def connect(url: str, failed: type[CallsError]) -> Session:
    """A new session. Raises `failed`, or `StoppedEarly` for a reason that passes by itself.

    `failed` is `SettingsError` for the first session, and `StoppedEarly` once one has worked.
    """
    try:
        session = psycopg2.connect(make_dsn(**CONNECT | check_url(url)))
        _sessions.add(session)
        session.autocommit = True
        with session.cursor() as cursor:
            cursor.execute(KEEP_IDLE)
    except psycopg2.Error as error:
        found = next((text for text in REFUSALS if text in str(error)), "")
        reason = REFUSALS.get(found, "the connection failed")
        raise (StoppedEarly if found in PASSING else failed)(
            f"{_shown(url)} cannot be reached: {reason}. Check that the server runs and accepts this machine, "
            "and check host, user, password and database in the setting `ledger`."
        ) from None
    return session


def ledger_error(url: str, login: str, error: psycopg2.Error) -> CallsError:
    """The error to raise for an error of the database."""
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
                f'if another login made it: GRANT USAGE ON SCHEMA calls_ledger TO "{login}"; '
                f'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA calls_ledger TO "{login}";'
            )
        case errors.ReadOnlySqlTransaction() | errors.FeatureNotSupported():
            return SettingsError(
                what.format("cannot be written") + "Name the primary server in the setting `ledger`, not a standby."
            )
        case errors.UndefinedTable() | errors.UndefinedColumn() | errors.InvalidSchemaName():
            return SettingsError(
                what.format("is gone or altered, so the requests spent are not known")
                + "After a window without a request from any program, drop the schema calls_ledger and run again."
            )
        case psycopg2.OperationalError() | psycopg2.InterfaceError():
            return StoppedEarly(
                what.format("broke off") + "Run again when the server works; a slot already reserved still counts."
            )
    return SettingsError(what.format("cannot be used") + "Read the server's log, and check its disk.")


def _shown(url: str) -> str:
    parts = check_url(url)
    where = f"{parts.get('dbname', 'the default database')} at {parts.get('host', 'the default host')}"
    return f"The request ledger in Postgres ({where})"


def _leave_to_parent() -> None:
    """Close a forked child's copies of the sessions, which would keep them alive after the parent's death."""
    for session in _sessions:
        if not session.closed:
            os.close(session.fileno())
    _sessions.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)
