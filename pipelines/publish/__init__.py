"""The readers' copy: what dashboards and analysts open, swapped in whole, so that nobody blocks or sees a half night.

DuckDB lets one process write or many read, never both, so the warehouse stays private, and the marts go to
`published/calls.duckdb` beside it, in a storage version that the older DuckDB inside BI tools opens, with Parquet
copies beside that. Each is written under another name and renamed: who has the old one open keeps it, whoever connects
next sees the new one. On Postgres each mart was already swapped in its own transaction; readers get a role.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import psycopg2
from psycopg2 import sql

from pipelines.errors import CallsError, SettingsError
from pipelines.transform.last_build import check_built, hold_marts
from pipelines.warehouse import Target, postgres

MARTS = "marts"
STORAGE_VERSION = "v1.0.0"  # DuckDB 1.0 and later; files in 2.0's own format are refused by 1.x
READER_ROLE = "bi_reader"


@dataclass(frozen=True)
class Published:
    """What readers have now: where, and how many rows each mart has."""

    where: str
    rows: dict[str, int]


def published_folder(target: Target) -> Path:
    """Where the readers' copy of a DuckDB warehouse lies."""
    return target.path.parent / "published"


def publish(target: Target) -> Published:
    """Publishes the marts as they are. Raises `NothingToPublish` where the last build did not pass."""
    with hold_marts(target):
        check_built(target)
        if target.engine == "postgres":
            return _grant_postgres(target)
        try:
            return _publish_duckdb(target)
        except (OSError, duckdb.Error) as error:
            raise CallsError(
                f"The readers' copy could not be written ({type(error).__name__}); they keep the one they have. Is "
                f"there room on the disk, and is the folder published/ yours? Then: calls publish."
            ) from None


def _publish_duckdb(target: Target) -> Published:
    folder = published_folder(target)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    new, stamp = folder / ".calls.duckdb.new", datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    parquet = folder / f".parquet-{stamp}"
    _clear_leftovers(folder)
    with _duckdb(target) as warehouse:
        marts = _marts(warehouse)
        warehouse.execute(f"attach '{_quoted(new)}' as readers (storage_version '{STORAGE_VERSION}')")
        try:
            rows = {name: _copy_mart(warehouse, name, parquet) for name in marts}
        finally:
            warehouse.execute("detach readers")
    _settle(new)
    new.replace(folder / "calls.duckdb")
    _swap_link(folder / "parquet", parquet)
    return Published(str(folder / "calls.duckdb"), rows)


def _copy_mart(warehouse: duckdb.DuckDBPyConnection, name: str, parquet: Path) -> int:
    parquet.mkdir(mode=0o700, exist_ok=True)
    warehouse.execute(f"create schema if not exists readers.{MARTS}")
    warehouse.execute(f'create table readers.{MARTS}."{name}" as from {MARTS}."{name}"')
    _copy_comments(warehouse, name)
    file = _quoted(parquet / f"{name}.parquet")
    warehouse.execute(f"copy readers.{MARTS}.\"{name}\" to '{file}' (format parquet, compression zstd)")
    found = warehouse.execute(f'select count(*) from readers.{MARTS}."{name}"').fetchone()  # noqa: S608 -- dbt's names
    return int(found[0]) if found else 0


def _copy_comments(warehouse: duckdb.DuckDBPyConnection, name: str) -> None:
    """The definitions stand beside the numbers in the copy too."""
    comments = warehouse.execute(
        "select column_name, comment from duckdb_columns() where database_name = current_database() "
        "and schema_name = ? and table_name = ? and comment is not null",
        [MARTS, name],
    ).fetchall()
    for column, text in comments:
        said = str(text).replace("'", "''")
        warehouse.execute(f'comment on column readers.{MARTS}."{name}"."{column}" is \'{said}\'')


def _marts(warehouse: duckdb.DuckDBPyConnection) -> list[str]:
    found = warehouse.execute(
        "select table_name from duckdb_tables() where database_name = current_database() and schema_name = ? "
        "order by table_name",
        [MARTS],
    ).fetchall()
    return [str(name) for (name,) in found]


def _settle(path: Path) -> None:
    """On the disk before it is renamed, so that a power cut leaves the old file or the new, never an empty one."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _swap_link(link: Path, folder: Path) -> None:
    """Points `link` at `folder` in one step, and removes what it pointed at before the last swap."""
    before = link.resolve() if link.is_symlink() else None
    new = link.with_name(".parquet.new")
    new.unlink(missing_ok=True)
    new.symlink_to(folder.name)
    new.replace(link)
    for old in link.parent.glob(".parquet-*"):
        if old not in (folder, before):
            shutil.rmtree(old)


def _clear_leftovers(folder: Path) -> None:
    """What a publish that was killed left half-written."""
    for name in (".calls.duckdb.new", ".calls.duckdb.new.wal"):
        (folder / name).unlink(missing_ok=True)


def _grant_postgres(target: Target) -> Published:
    """The role that may read `marts` and nothing else, made where the login may make roles."""
    connection = postgres.connect(target.credentials)
    try:
        with connection, connection.cursor() as cursor:  # one transaction
            _make_reader(cursor)
            _stamp(cursor)
            rows = _count_rows(cursor)
    except psycopg2.errors.InsufficientPrivilege:
        raise SettingsError(
            f"The marts are built, but this login may not make the role {READER_ROLE} that readers get. Let an "
            f"administrator run once: create role {READER_ROLE}; and then run: calls publish --destination postgres."
        ) from None
    finally:
        connection.close()
    return Published(f"the schema {MARTS} of the Postgres warehouse, for the role {READER_ROLE}", rows)


def _make_reader(cursor: Any) -> None:
    cursor.execute("select 1 from pg_roles where rolname = %s", [READER_ROLE])
    role, schema = sql.Identifier(READER_ROLE), sql.Identifier(MARTS)
    if cursor.fetchone() is None:
        cursor.execute(sql.SQL("create role {}").format(role))
    cursor.execute(sql.SQL("grant usage on schema {} to {}").format(schema, role))
    cursor.execute(sql.SQL("grant select on all tables in schema {} to {}").format(schema, role))
    # For the tables that later builds of this login's make in place of these.
    cursor.execute(sql.SQL("alter default privileges in schema {} grant select on tables to {}").format(schema, role))


def _stamp(cursor: Any) -> None:
    """Says in the schema's comment when it was published: by then all of the night's marts are in their places."""
    comment, now = sql.SQL("comment on schema {} is {}"), datetime.now(UTC).isoformat()
    cursor.execute("savepoint before_stamp")
    try:
        cursor.execute(comment.format(sql.Identifier(MARTS), sql.Literal(f"published {now}")))
    except psycopg2.errors.InsufficientPrivilege:  # the schema is an administrator's
        cursor.execute("rollback to savepoint before_stamp")


def _count_rows(cursor: Any) -> dict[str, int]:
    cursor.execute("select tablename from pg_tables where schemaname = %s order by tablename", [MARTS])
    rows = {}
    for (name,) in cursor.fetchall():
        cursor.execute(sql.SQL("select count(*) from {}").format(sql.Identifier(MARTS, name)))
        rows[name] = int(cursor.fetchone()[0])
    return rows


@contextmanager
def _duckdb(target: Target) -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect(target.credentials)
    try:
        yield connection
    finally:
        connection.close()


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
