"""The proof of the whole: a night of twenty PBXs, killed in the middle, one key refused, one answering garbage."""

import json
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import psutil
import pytest

from pipelines.sandbox.account import Account
from pipelines.sandbox.callcentre import CallCentre, simulate
from tests.support.models_warehouses import Warehouse
from tests.support.postgres_site import assert_truth_in, read_marts, url
from tests.support.site import Ran, Site, assert_truth

__all__ = ["url"]  # a fixture

MakeSite = Callable[..., Site]
LONGEST_SECONDS = 1500
ONE_NIGHT = {"system_status": 1, "user_calls": 1, "queue_calls": 1, "ringgroup_calls": 1}


def make_accounts(make_site: MakeSite, many: int, days: int, calls_per_day: int) -> tuple[Site, list[str]]:
    """So many PBXs with calls of their own, up to now."""
    first = datetime.now(UTC).date() - timedelta(days=days - 1)
    names = [f"site{number:02}" for number in range(many)]
    accounts = [
        Account(
            f"key-{name}",
            simulate(CallCentre(first_day=first, days=days, calls_per_day=calls_per_day, seed=number)),
            name=name,
        )
        for number, name in enumerate(names)
    ]
    return make_site(*accounts), names


def run(site: Site, engine: str) -> Ran:
    """A night with four jobs, in a process of its own."""
    process = site.start("run", "--jobs", "4", "--destination", engine, "--json")
    out, err = process.communicate(timeout=LONGEST_SECONDS)
    return Ran(process.returncode, out, err)


def asked(site: Site, since: int) -> dict[str, Counter[str]]:
    """The requests of each account from one on, by endpoint."""
    found: dict[str, Counter[str]] = {}
    for arrival in site.pbx.arrivals[since:]:
        found.setdefault(arrival.account, Counter())[arrival.endpoint] += 1
    return found


def assert_nights(site: Site, names: list[str], url: str, engine: str) -> None:
    """A killed night; one with a refused key and a garbling PBX; one in which all is well; one with nothing new."""
    refused, garbled, *good = names

    def truth(*accounts: str) -> None:
        if engine == "postgres":
            assert_truth_in(url, site, accounts)
        else:
            for account in accounts:
                assert_truth(site, account)

    site.pbx.fault("401", account=refused, times=None)
    site.pbx.fault("html", account=garbled, times=None)
    killed, seen = site.start("run", "--jobs", "4", "--destination", engine), len(site.pbx.arrivals)
    end = time.monotonic() + LONGEST_SECONDS
    while sum("queue_calls" in counts for counts in asked(site, seen).values()) < len(names) // 2:
        assert time.monotonic() < end
        time.sleep(0.01)
    processes = psutil.Process(killed.pid).children(recursive=True)
    killed.kill()
    killed.communicate()
    assert psutil.wait_procs(processes, timeout=LONGEST_SECONDS)[1] == []  # each ends with the page under way
    second = run(site, engine)
    summary = json.loads(second.out)
    assert second.code == 77, second.err
    ended = {load["account"]: (load["error"] or {"exit_code": 0})["exit_code"] for load in summary["loads"]}
    assert ended == dict.fromkeys(good, 0) | {refused: 77, garbled: 65}
    assert sorted(error["exit_code"] for error in summary["errors"]) == [65, 77]
    assert summary["published"]["rows"]["queue_calls"] > 10 * len(good)
    truth(*good)
    site.pbx.faults.clear()
    seen = len(site.pbx.arrivals)
    third = run(site, engine)
    assert third.code == 0, third.err
    truth(*names)
    assert {name: dict(counts) for name, counts in asked(site, seen).items()} == dict.fromkeys(names, ONE_NIGHT)


def prove(make_site: MakeSite, url: str, many: int, days: int, calls_per_day: int) -> None:
    """The nights on both warehouses; then the marts of both are the same."""
    site, names = make_accounts(make_site, many, days, calls_per_day)
    for engine in ("duckdb", "postgres"):
        site.set_setting("start_date", f"{datetime.now(UTC).date() - timedelta(days=days):%Y-%m-%d}")
        assert_nights(site, names, url, engine)
    assert read_marts(Warehouse("postgres", url)) == read_marts(Warehouse("duckdb", str(site.warehouse)))


@pytest.mark.soak
def test_a_night_of_four_sites(make_site: MakeSite, url: str) -> None:
    """Whatever one PBX or the run meets, the others are published, on DuckDB and on Postgres, equal to the truth; a
    night costs each account three requests and the status."""
    prove(make_site, url, many=4, days=2, calls_per_day=40)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_night_of_twenty_sites(make_site: MakeSite, url: str) -> None:
    """The same with twenty accounts of 2,000 calls a day."""
    prove(make_site, url, many=20, days=3, calls_per_day=2000)
