"""Every format dlt can load into Postgres, on the same queue calls, as ratios: `python -m tests.bench.postgres`."""

import os
import tempfile
from pathlib import Path
from uuid import uuid4

import click

from tests.bench.contest import compete, served
from tests.support.postgres_server import ask, serve_postgres


def compare_formats(base_url: str, folder: Path) -> None:
    """Prints what each format takes, and how the one in use compares with the others."""
    formats = {f"Postgres, {load.__name__}": load for load in (parquet, csv, insert_values)}
    with serve_postgres() as os.environ["BENCH_POSTGRES"]:
        found = compete(base_url, folder, formats, 3)
    seconds = {load.__name__: each[0] for load, each in zip(formats.values(), found, strict=True)}
    for other in ("csv", "insert_values"):
        click.echo(f"  Postgres, parquet / {other:<17}{seconds['parquet'] / seconds[other]:6.2f}")


def parquet(base_url: str, key: str, folder: Path) -> int:
    """Parquet, copied in binary by ADBC."""
    return _load("parquet")


def csv(base_url: str, key: str, folder: Path) -> int:
    """CSV, by COPY."""
    return _load("csv")


def insert_values(base_url: str, key: str, folder: Path) -> int:
    """INSERT statements."""
    return _load("insert_values")


def _load(file_format: str) -> int:
    from pipelines.load.account import LoadOptions, Observer, load_account
    from pipelines.load.pipeline import FILE_FORMATS
    from pipelines.voipcloud.settings import read_accounts
    from pipelines.warehouse import Target

    server, database = os.environ["BENCH_POSTGRES"], f"bench_{uuid4().hex}"
    ask(server, f"create database {database}")
    FILE_FORMATS["postgres"] = file_format
    target = Target("postgres", server.replace("/postgres?", f"/{database}?"))
    loaded = load_account(read_accounts()[0], target, LoadOptions(endpoints=("queue_calls",)), Observer())
    if loaded.error:
        raise loaded.error
    return loaded.rows.get("queue_calls", 0)


def main() -> None:
    """Prints the Postgres part alone."""
    rows = int(os.environ.get("BENCH_ROWS", "200000"))
    with tempfile.TemporaryDirectory(prefix="calls-bench-") as folder, served(rows, Path(folder)) as (base_url, count):
        click.echo(f"{count:,} queue calls over HTTP into Postgres (median seconds and peak memory of a process)")
        compare_formats(base_url, Path(folder))


if __name__ == "__main__":
    main()
