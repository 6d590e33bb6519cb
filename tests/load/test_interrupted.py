"""Runs that are killed, stopped or fail: the next one ends with the truth, and reads at most one package again."""

import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.sandbox.account import Account
from pipelines.sandbox.callcentre import CallCentre, simulate
from tests.support import night
from tests.support.site import Site, assert_truth, queue_table, user_call

MakeSite = Callable[..., Site]
KILLS = 5
NOON = datetime(2026, 9, 20, 12, tzinfo=UTC)


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """A PBX with two pages of queue calls and a few user calls; a package is one page."""
    tables = {
        "queue_calls": queue_table([NOON - timedelta(seconds=40 * n) for n in range(12_500)]),
        "user_calls": [user_call(NOON - timedelta(minutes=n)) for n in range(3000)],
    }
    return make_site(Account("key", tables), settings={"package_pages": "1"})


@pytest.fixture
def small(make_site: MakeSite) -> Site:
    """A PBX with a week of a small call centre."""
    first = datetime.now(UTC).date() - timedelta(days=8)
    return make_site(Account("key", simulate(CallCentre(first_day=first, days=7, calls_per_day=60))))


def elsewhere(site: Site, name: str) -> tuple[Site, dict[str, str]]:
    """The same PBX with a state and a warehouse of its own, and the settings that say so."""
    folder = site.folder / name
    folder.mkdir()
    settings = {
        "CALLS_HOME": str(folder / "state"),
        "DESTINATION__DUCKDB__CREDENTIALS": str(folder / "warehouse.duckdb"),
    }
    return replace(site, folder=folder), settings | {"SOURCES__VOIPCLOUD__BUDGET__REQUESTS": "10000"}


def steps_to_die_at(site: Site, kills: int) -> Iterator[int]:
    """Evenly spread steps of a whole load."""
    whole, settings = elsewhere(site, "whole")
    log = night.Log(whole.folder / "steps")
    assert night.run(whole, "load", before=log, **settings).code == 0
    steps = len(log.steps())
    assert steps > 5 * kills
    return iter(range(steps // kills // 2, steps, steps // kills))


def kill_and_resume(site: Site, kills: int) -> None:
    """Kills a load at so many of its steps, each time anew, and lets the next run end it."""
    account = site.pbx.accounts["main"]
    account.requests = 10_000
    for step in steps_to_die_at(site, kills):
        case, settings = elsewhere(site, f"step{step}")
        seen = len(site.pbx.arrivals)
        killed = night.run(case, "load", before=night.die_at(".", step), **settings)
        assert killed.code == -signal.SIGKILL, f"step {step}: {killed.err}"
        before = [a for a in site.pbx.arrivals[seen:] if a.endpoint != "system_status"]
        seen = len(site.pbx.arrivals)
        ended = night.run(case, "load", **settings)
        assert ended.code == 0, f"step {step}: {ended.err}"
        assert_truth(case)
        after = [a for a in site.pbx.arrivals[seen:] if a.endpoint != "system_status"]
        # Undisturbed: two pages of queue calls, one of the others. Read again: the package, of one page, that was
        # under way, and what a new run asks for in any case, the newest days of every list.
        assert len(before) + len(after) <= 4 + 1 + 3, f"step {step}"
        shutil.rmtree(case.folder)


@pytest.mark.timeout(900)
def test_killed_at_any_step(site: Site) -> None:
    """Wherever SIGKILL strikes, nothing is lost or doubled, and at most one package is read again."""
    kill_and_resume(site, KILLS)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_killed_at_many_steps(site: Site) -> None:
    """The same at three hundred steps."""
    kill_and_resume(site, 300)


@pytest.mark.parametrize("endpoint", ["user_calls", "queue_calls", "ringgroup_calls"])
@pytest.mark.parametrize("page", [0, 1])
def test_an_error_on_any_page(site: Site, endpoint: str, page: int) -> None:
    """What was whole before the error is kept, and the next run ends with the truth."""
    site.pbx.fault("401", endpoint=endpoint, after=page)
    first = site.load()
    assert (first.error is not None) == (page == 0 or endpoint == "queue_calls")
    site.pbx.faults.clear()
    assert site.load().error is None
    assert_truth(site)


def test_the_warehouse_is_the_truth(small: Site) -> None:
    """Whether the warehouse, the state, or both are lost or set back, the next run ends with the truth."""
    assert small.load().error is None
    backup = small.folder / "backup.duckdb"
    shutil.copy(small.warehouse, backup)
    small.pbx.insert(
        "queue_calls", *queue_table([datetime.now(UTC).replace(microsecond=0) - timedelta(hours=20)]).to_pylist()
    )
    assert small.load().error is None
    assert_truth(small)
    small.warehouse.unlink()
    assert small.load().error is None
    assert_truth(small)
    shutil.copy(backup, small.warehouse)
    assert small.load().error is None
    assert_truth(small)
    shutil.rmtree(small.folder / "state")
    assert small.load().error is None
    assert_truth(small)
    shutil.rmtree(small.folder / "state")
    small.warehouse.unlink()
    assert small.load().error is None
    assert_truth(small)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_load_cleanly(site: Site, number: signal.Signals) -> None:
    """The page under way is read, whole days are loaded, the code is 75, and the next run reads the rest."""
    site.pbx.latency_seconds = 0.5
    load = night.start(site, "load")
    wait_until(lambda: site.asked("user_calls") > 0)
    load.kill(number)
    ended = load.end()
    assert ended.code == 75, ended.err
    assert "what was read is loaded" in ended.err
    site.pbx.latency_seconds = 0
    assert site.load().error is None
    assert_truth(site)


def test_two_runs_and_a_look(small: Site) -> None:
    """While a load runs, a second one ends with 75, and status and budget answer, saying since when."""
    small.pbx.latency_seconds = 1.5
    load = night.start(small, "load")
    wait_until(lambda: len(small.pbx.arrivals) > 0)
    second, status, budget = small.run("load"), small.run("status"), small.run("budget")
    assert second.code == 75
    assert "another run has been loading this account since 20" in second.err
    assert status.code == budget.code == 0
    assert "; a load began " in status.out
    assert load.end().code == 0
    assert_truth(small)


@pytest.mark.parametrize("read_only", [True, False])
def test_a_locked_warehouse_costs_nothing(small: Site, read_only: bool) -> None:
    """A warehouse that another program has open ends a load with 75 before the first request."""
    assert small.load().error is None
    seen = len(small.pbx.arrivals)
    with duckdb.connect(str(small.warehouse), read_only=read_only):
        locked = night.run(small, "load")
    assert locked.code == 75
    assert "published/calls.duckdb" in locked.err
    assert len(small.pbx.arrivals) == seen


def test_a_full_disk(site: Site) -> None:
    """A disk that is full ends a load with a message; the next run has everything."""
    full = night.run(site, "load", before=limit_files)
    assert full.code not in (0, 2), full.err
    assert "Traceback" not in full.err
    assert night.run(site, "load").code == 0
    assert_truth(site)


def limit_files() -> None:
    """No file of this process may grow beyond 300 kB."""
    import resource  # noqa: PLC0415 -- of the process to be limited

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))


def test_a_warehouse_that_is_none(small: Site) -> None:
    """A file that is no database, and a folder that is none, are settings to mend: 78, without a request."""
    small.warehouse.write_text("these are not calls")
    assert small.load().error.exit_code == 78  # type: ignore[union-attr]  # None would fail the test as well
    small.warehouse.unlink()
    (small.folder / "file").write_text("")
    bad = night.run(small, "load", DESTINATION__DUCKDB__CREDENTIALS=str(small.folder / "file" / "warehouse.duckdb"))
    assert bad.code == 78, bad.err
    assert not small.pbx.arrivals


def wait_until(happens: Callable[[], Any], seconds: float = 20) -> None:
    """Waits for something, and fails if it does not come."""
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_nothing_is_left_in_working_files(small: Site) -> None:
    """After a load no calls lie in the working folder."""
    assert small.load().error is None
    left = [path for path in Path(small.folder / "state").rglob("*") if path.suffix in {".parquet", ".csv", ".jsonl"}]
    assert left == []


def test_calls_without_a_word_of_them(small: Site) -> None:
    """Calls in a warehouse that knows of no load, as one copied in part, are replaced and not doubled."""
    assert small.load().error is None
    with duckdb.connect(str(small.warehouse)) as warehouse:
        for name in ("_dlt_version", "_dlt_loads", "_dlt_pipeline_state"):
            warehouse.execute(f"drop table raw.{name}")
    assert small.load().error is None
    assert_truth(small)
