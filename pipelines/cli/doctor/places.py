"""Checks the places calls go to: the warehouse, room on its disk, the role for readers, the published copy."""

import shutil
from contextlib import closing
from datetime import UTC, datetime

from rich.filesize import decimal

from pipelines.cli.doctor.findings import Note
from pipelines.cli.output import age_in_words, utc_minute
from pipelines.errors import CallsError, SettingsError
from pipelines.publish.postgres import READER_ROLE
from pipelines.publish.reader import STALE_AFTER, NothingPublished, open_marts
from pipelines.warehouse import Target, open_for_writing, postgres

SPARE_BYTES = 512 * 2**20
LAST_LOAD = "select max(last_load_at) as loaded_at from marts.load_health"


def check_warehouse(target: Target) -> str:
    """Open it for writing; in Postgres the login has to be allowed to make schemas. Raises what a load would."""
    if target.engine == "duckdb":
        with open_for_writing(target):
            return f"{target.shown} opens for writing"
    if target.engine != "postgres":
        return f"{target.shown} opens, and can replace whole days"
    with closing(postgres.connect(target.credentials)) as connection, connection.cursor() as cursor:
        cursor.execute("select current_database(), current_user, has_database_privilege(current_database(), 'create')")
        database, login, may_create = cursor.fetchone()
    if not may_create:
        raise SettingsError(
            f"The login {login} may not make schemas in the database {database}. Let an administrator run: "
            f'grant create on database "{database}" to "{login}";'
        )
    return f"the database {database} accepts the login {login}, which may make schemas in it"


def check_space(target: Target) -> str:
    """Whether the disk of a DuckDB file has room for what a night writes beside it: the published copy and Parquet."""
    folder = target.path.parent
    size = target.path.stat().st_size if target.path.exists() else 0
    free, needed = shutil.disk_usage(folder).free, 2 * size + SPARE_BYTES
    if free < needed:
        raise CallsError(
            f"Only {decimal(free)} are free in {folder}, and a night may need {decimal(needed)}: it writes a new "
            "published copy beside the warehouse. Make room, or move the warehouse: credentials in "
            "[destination.duckdb]."
        )
    return f"{decimal(free)} free in {folder}; the warehouse has {decimal(size)}"


def check_readers(target: Target) -> str:
    """Whether publishing can give readers their role in Postgres."""
    with closing(postgres.connect(target.credentials)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "select exists (select from pg_roles where rolname = %s), "
            "(select rolsuper or rolcreaterole from pg_roles where rolname = current_user)",
            [READER_ROLE],
        )
        exists, may_create = cursor.fetchone()
    if not exists and not may_create:
        raise SettingsError(
            f"The role {READER_ROLE}, which readers get, is missing, and this login may not make it. Let an "
            f"administrator run once: create role {READER_ROLE};"
        )
    return f"the role {READER_ROLE} {'exists' if exists else 'will be made when marts are published'}"


def check_published(target: Target) -> str:
    """Whether readers have a copy, and how old it is."""
    try:
        with open_marts(target) as query:
            loaded_at = query(LAST_LOAD)[0]["loaded_at"]
    except NothingPublished:
        return Note("there is none yet: calls run loads, builds and publishes")
    if loaded_at is None:
        return Note("it is empty, because nothing has been loaded yet: calls run loads")
    text = f"as of {utc_minute(loaded_at)} UTC, {age_in_words(loaded_at)}"
    if datetime.now(UTC) - loaded_at > STALE_AFTER:
        return Note(f"{text}: has the nightly job run, and how did it end? calls status says what is missing")
    return text
