"""Contenders that load the same queue calls, over HTTP from a simulated PBX in a process of its own.

Each runs in a process of its own, with a folder of its own. What is imported and set up once per process is not
counted: each has loaded a list without calls before its clock starts.
"""

import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import date
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import click

KEY, EMPTY_KEY = "a-key-for-the-bench", "a-key-of-an-account-without-calls"
Load = Callable[[str, str, Path], int]  # base URL, key, a folder of its own → rows


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
