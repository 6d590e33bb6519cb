"""A stranger's use of the source: dlt alone, without `calls` around it.

Run by itself, as `python -m tests.support.stranger URL FOLDER`, it is a script with `pipeline.run(voipcloud())`, that
runs until nothing is left and can be killed anywhere.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dlt

from pipelines.sandbox.responses import WireRow
from pipelines.voipcloud import voipcloud
from pipelines.warehouse import postgres

NUMBER = {"user_calls": "from_number", "queue_calls": "callerid", "ringgroup_calls": "callerid"}
Calls = Counter[tuple[str, str]]


def make_pipeline(url: str, folder: Path, name: str = "calls_main") -> dlt.Pipeline:
    """A pipeline as anybody makes one; `url` says which destination: duckdb:, postgresql: or sqlite:."""
    kind = url.split(":", maxsplit=1)[0]
    if kind == "duckdb":
        destination: Any = dlt.destinations.duckdb(url.removeprefix("duckdb:///"))
    elif kind == "sqlite":
        destination = dlt.destinations.sqlalchemy(url)
    else:
        destination = dlt.destinations.postgres(postgres.as_credentials(url))
    return dlt.pipeline(name, destination=destination, dataset_name="raw", pipelines_dir=str(folder / "dlt"))


def stored(pipeline: dlt.Pipeline, endpoint: str, account: str = "main") -> Calls:
    """An account's calls in the destination: who, and when."""
    rows = ask(pipeline, endpoint, f"account, {NUMBER[endpoint]}, call_start_at")
    return Counter((number, _instant(start)) for name, number, start in rows if name == account)


def told(rows: list[WireRow], endpoint: str) -> Calls:
    """The same of the PBX's records."""
    return Counter((str(row[NUMBER[endpoint]]), _instant(row["call_start_at"])) for row in rows)


def ask(pipeline: dlt.Pipeline, table: str, columns: str) -> list[tuple[Any, ...]]:
    """Columns of a table of `raw`; no rows where the table is not there."""
    if table not in pipeline.default_schema.tables:
        return []
    with pipeline.sql_client() as client:
        found = client.execute_sql(f"select {columns} from {client.make_qualified_table_name(table)}")  # noqa: S608 -- a test's own words
        return [tuple(row) for row in found or []]


def run_until_done(url: str, folder: Path) -> Iterator[int]:
    """Runs as a stranger would, one new source each time, and yields the requests of each run."""
    pipeline = make_pipeline(url, folder)
    pipeline.run()  # what an earlier, killed one has left
    while True:
        source = voipcloud()
        pipeline.run(source)
        yield source.outcome.requests
        if not source.outcome.has_more:
            return


def _instant(value: Any) -> str:
    at = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC).isoformat(timespec="milliseconds")


if __name__ == "__main__":
    for number in run_until_done(sys.argv[1], Path(sys.argv[2])):
        print(number, flush=True)
