"""Whether there is where to put things: the warehouse, room on its disk, the role for readers, the published copy."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from pipelines.cli.doctor.findings import Note
from pipelines.errors import CallsError, SettingsError
from pipelines.publish import READER_ROLE
from pipelines.publish.reader import STALE_AFTER, NothingPublished, open_marts
from pipelines.warehouse import Target, open_for_writing, postgres

SPARE_BYTES = 512 * 2**20
LAST_LOAD = "select max(last_load_at) as loaded_at from marts.load_health"


def check_warehouse(target: Target) -> str:
    """Opens it for writing; a Postgres has to let schemas be made. Raises what a load would."""
    if target.engine == "duckdb":
        with open_for_writing(target):
            return f"{target.shown} opens for writing"
    with _cursor(target) as cursor:
        cursor.execute("select current_database(), current_user, has_database_privilege(current_database(), 'create')")
        database, login, may_create = cursor.fetchone()
    if not may_create:
        raise SettingsError(
            f"The login {login} may not make schemas in the database {database}. Let an administrator run: "
            f'grant create on database "{database}" to "{login}";'
        )
    return f"the database {database} takes the login {login}, who may make schemas in it"


def check_space(target: Target) -> str:
    """Room for what a night writes anew beside a DuckDB file: the published copy and Parquet."""
    folder = target.path.parent
    size = target.path.stat().st_size if target.path.exists() else 0
    free, needed = shutil.disk_usage(folder).free, 2 * size + SPARE_BYTES
    if free < needed:
        raise CallsError(
            f"Only {_size(free)} are free in {folder}, and a night may need {_size(needed)}: the published copy is "
            "written anew beside the warehouse. Make room, or move the warehouse: credentials in [destination.duckdb]."
        )
    return f"{_size(free)} free in {folder}; the warehouse has {_size(size)}"


def check_readers(target: Target) -> str:
    """Whether publishing can give readers their role on a Postgres."""
    with _cursor(target) as cursor:
        cursor.execute(
            "select exists (select from pg_roles where rolname = %s), "
            "(select rolsuper or rolcreaterole from pg_roles where rolname = current_user)",
            [READER_ROLE],
        )
        exists, may_create = cursor.fetchone()
    if not exists and not may_create:
        raise SettingsError(
            f"There is no role {READER_ROLE}, which readers get, and this login may not make it. Let an administrator "
            f"run once: create role {READER_ROLE};"
        )
    return f"the role {READER_ROLE} {'is there' if exists else 'will be made when marts are published'}"


def check_published(target: Target) -> str | Note:
    """Whether readers have a copy, and how old it is."""
    try:
        with open_marts(target) as query:
            loaded_at = query(LAST_LOAD)[0]["loaded_at"]
    except NothingPublished:
        return Note("there is none yet: calls run loads, builds and publishes")
    if loaded_at is None:
        return Note("it is empty: nothing has been loaded yet; calls run does")
    age = datetime.now(UTC) - loaded_at
    text = f"as of {loaded_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC, {age.total_seconds() / 3600:,.0f} h ago"
    if age > STALE_AFTER:
        return Note(f"{text}: has the nightly job run, and how did it end? calls status says what is missing")
    return text


@contextmanager
def _cursor(target: Target) -> Iterator[Any]:
    connection = postgres.connect(target.credentials)
    try:
        yield connection.cursor()
    finally:
        connection.close()


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:,.1f} GB"
