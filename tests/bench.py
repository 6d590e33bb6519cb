"""`make bench`: speed and memory as ratios within one run, so that the machine cancels out.

Each contender loads the same queue calls, over HTTP from a simulated PBX in a process of its own, into a new DuckDB
file, in a process of its own whose start is not counted.
"""

import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import click

KEY = "a-key-for-the-bench"
PAGE_ROWS = 10_000


def main() -> None:
    """Prints every benchmark."""
    from tests.bench_postgres import compare_formats

    rows = int(os.environ.get("BENCH_ROWS", "200000"))
    with tempfile.TemporaryDirectory(prefix="calls-bench-") as folder, served(rows, Path(folder)) as (base_url, count):
        click.echo(
            f"{count:,} queue calls over HTTP into DuckDB, median of 3 (seconds; peak memory of the process, MiB)"
        )
        ours = contend("calls load", load_ours, base_url, Path(folder))
        plain = contend("httpx, then DuckDB's read_json", load_read_json, base_url, Path(folder))
        rest = contend("dlt's rest_api source", load_rest_api, base_url, Path(folder), runs=1)
        click.echo(f"  calls load / httpx and read_json     {ours[0] / plain[0]:6.2f}   (at most 1)")
        click.echo(f"  calls load / dlt's rest_api          {ours[0] / rest[0]:6.3f}   (at most 0.05)")
        many = contend("calls load, a fifth of the pages", load_ours_part, base_url, Path(folder))
        click.echo(f"  memory, all pages / a fifth of them  {ours[1] / many[1]:6.2f}")
        compare_formats(base_url, Path(folder))


class served:
    """A simulated PBX in a process of its own; gives its base URL and how many queue calls it has."""

    def __init__(self, rows: int, folder: Path) -> None:
        self._rows, self._folder = rows, folder

    def __enter__(self) -> tuple[str, int]:
        here, there = multiprocessing.get_context("spawn").Pipe()
        self._process = multiprocessing.get_context("spawn").Process(target=serve, args=(there, self._rows))
        self._process.start()
        base_url, count = here.recv()
        return base_url, count

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()


def serve(pipe: Connection, rows: int) -> None:
    """Serves at least so many queue calls, until terminated."""
    from pipelines.sandbox.account import Account
    from pipelines.sandbox.callcentre import simulate
    from pipelines.sandbox.parameters import CallCentre
    from pipelines.sandbox.server import SimulatedPBX

    days = 365
    centre = CallCentre(first_day=date(2025, 1, 1), days=days, calls_per_day=rows / days * 1.25)
    calls = simulate(centre)["queue_calls"]
    calls = calls.slice(0, min(rows, calls.num_rows))
    with SimulatedPBX(Account(key=KEY, tables={"queue_calls": calls}, requests=10**6)) as pbx:
        pipe.send((pbx.base_url, calls.num_rows))
        while True:
            time.sleep(1)


def contend(
    name: str, load: Callable[[str, Path], int], base_url: str, folder: Path, runs: int = 3
) -> tuple[float, float]:
    """Median seconds and greatest peak memory (MiB) of a contender, each run in a process of its own."""
    seconds, memory, rows = [], [], 0
    for number in range(runs):
        here, there = multiprocessing.get_context("spawn").Pipe()
        work = folder / f"{load.__name__}{number}"
        work.mkdir()
        process = multiprocessing.get_context("spawn").Process(target=measure, args=(there, load, base_url, work))
        process.start()
        there.close()  # so that a contender that failed ends the wait for it
        spent, peak, rows = here.recv()
        process.join()
        seconds.append(spent)
        memory.append(peak)
    click.echo(f"  {name:<36} {median(seconds):6.2f} s {max(memory):6.0f} MiB  ({rows:,} rows)")
    return median(seconds), max(memory)


def measure(pipe: Connection, load: Callable[[str, Path], int], base_url: str, folder: Path) -> None:
    """Runs one contender; imports and start-up come before the clock starts."""
    os.environ |= {
        "CALLS_HOME": str(folder / "home"),
        "SOURCES__VOIPCLOUD__BASE_URL": base_url,
        "SOURCES__VOIPCLOUD__API_KEY": KEY,
        "SOURCES__VOIPCLOUD__TIMEZONE": "Australia/Sydney",
        "SOURCES__VOIPCLOUD__BUDGET__REQUESTS": "100000",
        "RUNTIME__DLTHUB_TELEMETRY": "false",
    }
    import dlt  # noqa: F401 -- imported before the clock starts
    import duckdb  # noqa: F401
    import httpx  # noqa: F401

    import pipelines.loading  # noqa: F401

    begun = time.perf_counter()
    rows = load(base_url, folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    pipe.send((time.perf_counter() - begun, peak, rows))


def load_ours(base_url: str, folder: Path) -> int:
    """`calls load` of the queue calls."""
    return _load(folder, None)


def load_ours_part(base_url: str, folder: Path) -> int:
    """The same of the last fifth of the year."""
    from pipelines.coverage import Stretch

    return _load(folder, Stretch(date(2025, 10, 20), None))


def _load(folder: Path, again: Any) -> int:
    from pipelines.loading import Watcher, Wish, load_account
    from pipelines.settings import read_accounts
    from pipelines.warehouse import Target, configure_dlt

    configure_dlt()
    wish = Wish(endpoints=("queue_calls",), again=again)
    loaded = load_account(read_accounts()[0], Target("duckdb", str(folder / "warehouse.duckdb")), wish, Watcher())
    if loaded.error:
        raise loaded.error
    return loaded.rows["queue_calls"]


def load_read_json(base_url: str, folder: Path) -> int:
    """The plainest fast way: pages to files, and one `read_json` over them."""
    import duckdb
    import httpx

    offset = 0
    with httpx.Client(headers={"token": KEY}) as client:
        while True:
            url = f"{base_url}/api/integration/v1/get-queue-calls"
            body = client.get(url, params={"limit": PAGE_ROWS, "offset": offset}).content
            (folder / f"{offset:09}.json").write_bytes(body)
            offset += PAGE_ROWS
            if body.count(b'"call_start_at"') < PAGE_ROWS:
                break
    with duckdb.connect(str(folder / "plain.duckdb")) as warehouse:
        warehouse.execute(
            f"create table queue_calls as select unnest(data, recursive := true) from read_json('{folder}/0*.json', "
            "maximum_object_size = 67108864)"
        )
        return _count(warehouse.execute("select count(*) from queue_calls").fetchone())


def load_rest_api(base_url: str, folder: Path) -> int:
    """dlt's own REST source, paging by offset, into DuckDB."""
    import dlt
    from dlt.sources.rest_api import rest_api_source

    config: Any = {
        "client": {
            "base_url": f"{base_url}/api/integration/v1/",
            "headers": {"token": KEY},
            "paginator": {"type": "offset", "limit": PAGE_ROWS, "total_path": None},
        },
        "resources": [{"name": "queue_calls", "endpoint": {"path": "get-queue-calls", "data_selector": "data"}}],
    }
    pipeline = dlt.pipeline(
        "rest", pipelines_dir=str(folder / "dlt"), destination=dlt.destinations.duckdb(str(folder / "rest.duckdb"))
    )
    pipeline.run(rest_api_source(config))
    with pipeline.sql_client() as client, client.execute_query("select count(*) from queue_calls") as found:
        return _count(found.fetchone())


def _count(row: Any) -> int:
    return int(json.loads(str(row[0])))


if __name__ == "__main__":
    main()
