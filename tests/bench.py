"""`make bench`: speed and memory as ratios within one run, so that the machine cancels out.

Each contender loads the same queue calls, over HTTP from a simulated PBX in a process of its own, into a new DuckDB
file, in a process of its own. What is imported and set up once a process is not counted: each has loaded a list
without calls before its clock starts.
"""

import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import date
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import click

KEY, EMPTY_KEY = "a-key-for-the-bench", "a-key-of-an-account-without-calls"
PAGE_ROWS = 10_000
Load = Callable[[str, str, Path], int]  # base URL, key, a folder of its own → rows


def main() -> None:
    """Prints every benchmark."""
    from tests.bench_postgres import compare_formats

    rows = int(os.environ.get("BENCH_ROWS", "200000"))
    with tempfile.TemporaryDirectory(prefix="calls-bench-") as folder, served(rows, Path(folder)) as (base_url, count):
        click.echo(f"{count:,} queue calls over HTTP into DuckDB (median seconds and peak memory of a process)")
        contend = partial(compete, base_url, Path(folder))
        # by turns, so that what else the machine does meets both
        ours, plain = contend({"calls load": load_ours, "httpx, then DuckDB's read_json": load_read_json}, 9)
        (rest,) = contend({"dlt's rest_api source": load_rest_api})
        click.echo(f"  calls load / httpx and read_json     {ours[0] / plain[0]:6.2f}   (at most 1)")
        click.echo(f"  calls load / dlt's rest_api          {ours[0] / rest[0]:6.3f}   (at most 0.05)")
        whole, half = contend({"calls load, five pages a package": load_packages, "half of the pages": load_half}, 3)
        click.echo(f"  memory, all pages / half of them     {whole[1] / half[1]:6.2f}   (at most 1.1)")
        compare_formats(base_url, Path(folder))


class served:
    """A simulated PBX in a process of its own; gives its base URL and how many queue calls it has."""

    def __init__(self, rows: int, folder: Path) -> None:
        self._rows, self._folder = rows, folder

    def __enter__(self) -> tuple[str, int]:
        here, there = multiprocessing.get_context("spawn").Pipe()
        self._process = multiprocessing.get_context("spawn").Process(target=serve, args=(there, self._rows))
        self._process.start()
        there.close()
        base_url, count = here.recv()
        return base_url, count

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()


def serve(pipe: Connection, rows: int) -> None:
    """Serves at least so many queue calls, until terminated."""
    from pipelines.sandbox.account import Account
    from pipelines.sandbox.callcentre import simulate
    from pipelines.sandbox.callcentre.parameters import CallCentre
    from pipelines.sandbox.server import SimulatedPBX

    days = 365
    centre = CallCentre(first_day=date(2025, 1, 1), days=days, calls_per_day=rows / days * 1.25)
    calls = simulate(centre)["queue_calls"]
    calls = calls.slice(0, min(rows, calls.num_rows))
    full = Account(key=KEY, tables={"queue_calls": calls}, requests=10**6)
    with SimulatedPBX(full, Account(key=EMPTY_KEY, tables={}, name="empty")) as pbx:
        pipe.send((pbx.base_url, calls.num_rows))
        while True:
            time.sleep(1)


def compete(base_url: str, folder: Path, contenders: Mapping[str, Load], rounds: int = 1) -> list[tuple[float, float]]:
    """Median seconds and peak memory (MiB) of each contender, each run in a process of its own."""
    runs: dict[str, list[tuple[float, float, int]]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name, load in contenders.items():
            here, there = multiprocessing.get_context("spawn").Pipe()
            with tempfile.TemporaryDirectory(prefix=f"{number}-", dir=folder) as work:
                process = multiprocessing.get_context("spawn").Process(
                    target=measure, args=(there, load, base_url, Path(work))
                )
                process.start()
                there.close()  # so that a contender that dies ends the bench, and does not keep it waiting
                runs[name].append(here.recv())
                process.join()
    found = []
    for name, each in runs.items():
        seconds, memory, rows = median(run[0] for run in each), median(run[1] for run in each), each[0][2]
        click.echo(f"  {name:<36} {seconds:6.2f} s {memory:6.0f} MiB  ({rows:,} rows, {rounds} times)")
        found.append((seconds, memory))
    return found


def measure(pipe: Connection, load: Load, base_url: str, folder: Path) -> None:
    """Runs one contender, after it has once done nothing."""
    os.environ |= {
        "SOURCES__VOIPCLOUD__BASE_URL": base_url,
        "SOURCES__VOIPCLOUD__TIMEZONE": "Australia/Sydney",
        "SOURCES__VOIPCLOUD__BUDGET__REQUESTS": "100000",
        "RUNTIME__DLTHUB_TELEMETRY": "false",
    }
    for key in (EMPTY_KEY, KEY):
        work = folder / key
        work.mkdir()
        os.environ |= {"CALLS_HOME": str(work / "home"), "SOURCES__VOIPCLOUD__API_KEY": key}
        begun = time.perf_counter()
        rows = load(base_url, key, work)
        seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    pipe.send((seconds, peak, rows))


def load_ours(base_url: str, key: str, folder: Path) -> int:
    """`calls load` of the queue calls."""
    return _load(folder, None)


def load_packages(base_url: str, key: str, folder: Path) -> int:
    """The same in packages of 50,000."""
    os.environ["SOURCES__VOIPCLOUD__PACKAGE_PAGES"] = "5"
    return _load(folder, None)


def load_half(base_url: str, key: str, folder: Path) -> int:
    """The second half of the year in such packages."""
    from pipelines.voipcloud.coverage import DateRange

    os.environ["SOURCES__VOIPCLOUD__PACKAGE_PAGES"] = "5"
    return _load(folder, DateRange(date(2025, 7, 2), None))


def _load(folder: Path, again: Any) -> int:
    from pipelines.load.account import LoadOptions, Observer, load_account
    from pipelines.voipcloud.settings import read_accounts
    from pipelines.warehouse import Target

    options = LoadOptions(endpoints=("queue_calls",), again=again)
    loaded = load_account(read_accounts()[0], Target("duckdb", str(folder / "warehouse.duckdb")), options, Observer())
    if loaded.error:
        raise loaded.error
    return loaded.rows.get("queue_calls", 0)


def load_read_json(base_url: str, key: str, folder: Path) -> int:
    """The plainest fast way: pages to files, and one `read_json` over them."""
    import duckdb
    import httpx

    offset = 0
    with httpx.Client(headers={"token": key}) as client:
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


def load_rest_api(base_url: str, key: str, folder: Path) -> int:
    """dlt's own REST source, paging by offset, into DuckDB."""
    import dlt
    from dlt.sources.rest_api import rest_api_source

    config: Any = {
        "client": {
            "base_url": f"{base_url}/api/integration/v1/",
            "headers": {"token": key},
            "paginator": {"type": "offset", "limit": PAGE_ROWS, "total_path": None},
        },
        "resources": [{"name": "queue_calls", "endpoint": {"path": "get-queue-calls", "data_selector": "data"}}],
    }
    pipeline = dlt.pipeline(
        "rest", pipelines_dir=str(folder / "dlt"), destination=dlt.destinations.duckdb(str(folder / "rest.duckdb"))
    )
    pipeline.run(rest_api_source(config))
    done = pipeline.last_trace and pipeline.last_trace.last_normalize_info
    return done.row_counts.get("queue_calls", 0) if done else 0  # of no calls it makes no table to be counted


def _count(row: Any) -> int:
    return int(json.loads(str(row[0])))


if __name__ == "__main__":
    main()
