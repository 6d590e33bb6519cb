"""What readers do, run by the interpreter of `.venv-readers`, whose DuckDB (1.1) is as old as BI tools bundle it.

`read_old.py sums FILE` prints each mart's rows; `hold FILE` does so for every line on standard input, with one
connection; `query URL` (SQLAlchemy) and `postgres URL` (psycopg) run the queries on standard input, parted by `;`;
`tables FOLDER OUT` takes the Parquet copies through pandas and Polars into CSV and Excel.
"""

import json
import sys
from pathlib import Path
from typing import Any

import duckdb


def sums(connection: Any) -> dict[str, Any]:
    """Each mart's rows, and a number that changes with any of them."""
    names = [name for (name,) in connection.execute("select table_name from duckdb_tables()").fetchall()]
    return {
        name: [
            str(part) for part in connection.execute(f"select count(*), sum(hash(m)) from marts.{name} m").fetchone()
        ]
        for name in sorted(names)
    }


def print_sums(file: str) -> None:
    """The sums of a file."""
    with duckdb.connect(file, read_only=True) as connection:
        print(json.dumps(sums(connection)), flush=True)


def hold(file: str) -> None:
    """The sums through a connection that stays open, whenever asked."""
    with duckdb.connect(file, read_only=True) as connection:
        for _ in sys.stdin:
            print(json.dumps(sums(connection)), flush=True)


def run_queries(url: str) -> None:
    """How many rows each query has, by SQLAlchemy."""
    from sqlalchemy import create_engine, text

    engine = create_engine(url, connect_args={"read_only": True} if url.startswith("duckdb") else {})
    with engine.connect() as connection:
        print(json.dumps([len(connection.execute(text(query)).fetchall()) for query in read_queries()]))


def run_psycopg(url: str) -> None:
    """How many rows each query has, by psycopg."""
    import psycopg

    with psycopg.connect(url) as connection:
        print(json.dumps([len(connection.execute(query).fetchall()) for query in read_queries()]))


def read_queries() -> list[str]:
    """The queries on standard input."""
    return [query for query in sys.stdin.read().split(";") if query.strip()]


def as_tables(folder: str, out: str) -> None:
    """Queue days and lost calls by pandas and by Polars, and into what Excel opens."""
    import pandas
    import polars

    found = {}
    for mart in ("queue_days", "lost_calls"):
        frame = pandas.read_parquet(Path(folder) / f"{mart}.parquet")
        frame.to_csv(Path(out) / f"{mart}.csv", index=False)
        zoned = frame.select_dtypes(include=["datetimetz"]).columns  # Excel knows no time zones
        frame.assign(**{name: frame[name].dt.tz_localize(None) for name in zoned}).to_excel(
            Path(out) / f"{mart}.xlsx", index=False
        )
        again = pandas.read_excel(Path(out) / f"{mart}.xlsx")
        found[mart] = [len(frame), len(again), polars.read_parquet(Path(folder) / f"{mart}.parquet").height]
    print(json.dumps(found))


COMMANDS: dict[str, Any] = {
    "sums": print_sums,
    "hold": hold,
    "query": run_queries,
    "postgres": run_psycopg,
    "tables": as_tables,
}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*sys.argv[2:])
