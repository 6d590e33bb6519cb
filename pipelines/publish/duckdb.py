"""Copies the marts of a DuckDB warehouse to `published/calls.duckdb`, and to Parquet files beside it.

The copy is written in a storage version that the older DuckDB inside BI tools opens. File and Parquet folder are
written under other names and then renamed: a reader that has the old ones open keeps them, and the next one to connect
sees the new ones.
"""

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from pipelines.errors import CallsError

FILE = "calls.duckdb"
MARTS = "marts"
STORAGE_VERSION = "v1.0.0"  # DuckDB from 1.0 on reads it; 1.x refuses the format of 2.0


def copy_marts(warehouse: Path, folder: Path) -> dict[str, int]:
    """Replace the readers' copy in `folder`, and return each mart's rows. Raises `CallsError`, keeping the old copy."""
    try:
        return _copy_marts(warehouse, folder)
    except (OSError, duckdb.Error) as error:
        raise CallsError(
            f"The readers' copy could not be written ({type(error).__name__}); readers keep the one they have. Check "
            "that the disk has room and that the folder published/ is yours, then run: calls publish."
        ) from None


def _copy_marts(path: Path, folder: Path) -> dict[str, int]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = folder / f".{FILE}.new"
    parquet = folder / f".parquet-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
    for leftover in (new, new.with_name(f"{new.name}.wal")):  # of a publish that was killed
        leftover.unlink(missing_ok=True)
    with duckdb.connect(str(path)) as warehouse:
        marts = _find_marts(warehouse)
        warehouse.execute(f"attach '{_quoted(new)}' as readers (storage_version '{STORAGE_VERSION}')")
        try:
            rows = {name: _copy_mart(warehouse, name, parquet) for name in marts}
        finally:
            warehouse.execute("detach readers")
    with new.open("rb") as written:  # on the disk before the rename: a power cut leaves the old copy or the new
        os.fsync(written.fileno())
    new.replace(folder / FILE)
    _swap_link(folder / "parquet", parquet)
    return rows


def _copy_mart(warehouse: duckdb.DuckDBPyConnection, name: str, parquet: Path) -> int:
    parquet.mkdir(mode=0o700, exist_ok=True)
    warehouse.execute(f"create schema if not exists readers.{MARTS}")
    warehouse.execute(f'create table readers.{MARTS}."{name}" as from {MARTS}."{name}"')
    _copy_comments(warehouse, name)
    file = _quoted(parquet / f"{name}.parquet")
    copied = warehouse.execute(f"copy readers.{MARTS}.\"{name}\" to '{file}' (format parquet, compression zstd)")
    (rows,) = copied.fetchall()[0]
    return int(rows)


def _copy_comments(warehouse: duckdb.DuckDBPyConnection, name: str) -> None:
    """Copy the columns' comments, which define the numbers; `create table as` leaves them behind."""
    comments = warehouse.execute(
        "select column_name, comment from duckdb_columns() where database_name = current_database() "
        "and schema_name = ? and table_name = ? and comment is not null",
        [MARTS, name],
    ).fetchall()
    for column, comment in comments:
        text = str(comment).replace("'", "''")
        warehouse.execute(f'comment on column readers.{MARTS}."{name}"."{column}" is \'{text}\'')


def _find_marts(warehouse: duckdb.DuckDBPyConnection) -> list[str]:
    found = warehouse.execute(
        "select table_name from duckdb_tables() where database_name = current_database() and schema_name = ? "
        "order by table_name",
        [MARTS],
    ).fetchall()
    return [str(name) for (name,) in found]


def _swap_link(link: Path, folder: Path) -> None:
    """Point `link` at `folder` in one step. The folder it pointed at stays until the next swap, for its readers."""
    before = link.resolve() if link.is_symlink() else None
    new = link.with_name(".parquet.new")
    new.unlink(missing_ok=True)
    new.symlink_to(folder.name)
    new.replace(link)
    for old in link.parent.glob(".parquet-*"):
        if old not in (folder, before):
            shutil.rmtree(old)


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
