"""Lets a role read the marts of a Postgres warehouse, and nothing else in it."""

from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import psycopg2
from psycopg2 import sql

from pipelines.errors import SettingsError
from pipelines.warehouse import postgres

MARTS = "marts"
READER_ROLE = "bi_reader"
WHERE = f"the schema {MARTS} of the Postgres warehouse, for the role {READER_ROLE}"


def grant_marts(url: str) -> dict[str, int]:
    """Make the role if there is none, let it read `marts`, and return each mart's rows.

    Raises `SettingsError` if the login may not make roles.
    """
    try:
        # The second `connection` is a transaction.
        with closing(postgres.connect(url)) as connection, connection, connection.cursor() as cursor:
            _grant(cursor)
            _stamp(cursor)
            return _count_rows(cursor)
    except psycopg2.errors.InsufficientPrivilege:
        raise SettingsError(
            f"The marts are built, but this login may not make the role {READER_ROLE} that readers get. Let an "
            f"administrator run once: create role {READER_ROLE}; and then run: calls publish --destination postgres."
        ) from None


def _grant(cursor: Any) -> None:
    cursor.execute("select 1 from pg_roles where rolname = %s", [READER_ROLE])
    role, schema = sql.Identifier(READER_ROLE), sql.Identifier(MARTS)
    if cursor.fetchone() is None:
        cursor.execute(sql.SQL("create role {}").format(role))
    cursor.execute(sql.SQL("grant usage on schema {} to {}").format(schema, role))
    cursor.execute(sql.SQL("grant select on all tables in schema {} to {}").format(schema, role))
    # Also for the tables by which later builds of this login replace them.
    cursor.execute(sql.SQL("alter default privileges in schema {} grant select on tables to {}").format(schema, role))


def _stamp(cursor: Any) -> None:
    """Note the time of publishing in the schema's comment: all of the night's marts are in their places by then."""
    comment, now = sql.SQL("comment on schema {} is {}"), datetime.now(UTC).isoformat()
    cursor.execute("savepoint before_stamp")
    try:
        cursor.execute(comment.format(sql.Identifier(MARTS), sql.Literal(f"published {now}")))
    except psycopg2.errors.InsufficientPrivilege:  # the schema belongs to another login
        cursor.execute("rollback to savepoint before_stamp")


def _count_rows(cursor: Any) -> dict[str, int]:
    cursor.execute("select tablename from pg_tables where schemaname = %s order by tablename", [MARTS])
    rows = {}
    for (name,) in cursor.fetchall():
        cursor.execute(sql.SQL("select count(*) from {}").format(sql.Identifier(MARTS, name)))
        rows[name] = int(cursor.fetchone()[0])
    return rows
