"""What DuckDB needs: a path that SQL can name, one writer, and a file that is whole from its first moment."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb

from pipelines.errors import CallsError, SettingsError, WarehouseLocked
from pipelines.files import home

# What stands before a dot in SQL beside the file's own name: schemas, the readers' copy, DuckDB's own.
RESERVED_NAMES = {"raw", "staging", "intermediate", "marts", "seeds", "readers", "system", "temp"}
GLANCE_SECONDS = 3.0  # `status` has the warehouse open for a moment


def check_path(path: Path) -> None:
    """Raises `SettingsError` for a path that DuckDB, dlt or dbt, which write it into SQL as it is, take for another."""
    if path.stem.lower() in RESERVED_NAMES:
        raise SettingsError(
            f"The warehouse cannot be named {path.name}: '{path.stem.lower()}' means something else in SQL. Choose "
            "another name in credentials of [destination.duckdb], or DESTINATION__DUCKDB__CREDENTIALS."
        )
    for place in (path, home()):
        if "'" in str(place):
            raise SettingsError(
                f"The path {place} holds a ', which ends a text in SQL. Put warehouse and CALLS_HOME elsewhere."
            )


@contextmanager
def open_for_writing(path: Path) -> Iterator[None]:
    """Holds the file open, and makes it if there is none. One process's connections share it.

    Raises `WarehouseLocked` or `SettingsError`.
    """
    until = time.monotonic() + GLANCE_SECONDS
    while True:
        try:
            _make_file(path)
            connection = duckdb.connect(str(path))
            break
        except (duckdb.Error, OSError) as error:
            if not is_lock(error) or time.monotonic() > until:
                raise cannot_open(path, error) from None
        time.sleep(0.1)
    try:
        yield
    finally:
        connection.close()


def checkpoint(path: Path) -> None:
    """Moves what was loaded from the log, which DuckDB holds in memory too, into the file: dlt waits for a GB of it."""
    with duckdb.connect(str(path)) as connection, suppress(duckdb.TransactionException):  # another connection writes
        connection.execute("checkpoint")


def is_lock(error: BaseException) -> bool:
    """Whether another program has the file open."""
    return isinstance(error, duckdb.IOException) and "set lock on file" in str(error)


def cannot_open(path: Path, error: BaseException) -> CallsError:
    """The error for a file that does not open."""
    if is_lock(error):
        return WarehouseLocked(
            f"{path.name} is open in another program, and DuckDB lets one write or many read, never both. Close it "
            "there (dashboards belong on published/calls.duckdb) and run again. No request was spent on this."
        )
    return SettingsError(
        f"The warehouse {path.name} cannot be opened ({type(error).__name__}). Check that its folder exists and is "
        "yours, that the file is a DuckDB database, and credentials in [destination.duckdb]."
    )


def _make_file(path: Path) -> None:
    """Makes the whole file under another name first: one that a full disk or a kill cut short cannot be opened."""
    if path.exists():
        return
    with tempfile.TemporaryDirectory(prefix=".calls-", dir=path.parent) as folder:
        draft = Path(folder) / path.name
        duckdb.connect(draft).close()
        with suppress(FileExistsError):  # another process was first
            os.link(draft, path)
