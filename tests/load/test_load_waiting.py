"""A load and its budget: how long it takes at the least, who else spends from it, and what is spent already."""

import signal
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pipelines.sandbox.account import Account
from pipelines.sandbox.faults import Fault
from pipelines.sandbox.request_log import most_within
from tests.support import night
from tests.support.site import Site, assert_truth, queue_table

MakeSite = Callable[..., Site]
NOON = datetime(2026, 9, 20, 12, tzinfo=UTC)
CAP = 100  # rows that the PBX of these tests gives a page, whatever is asked for: many requests, little to carry


def capped_site(make_site: MakeSite, pages: int, requests: int, window_seconds: float, **options: Any) -> Site:
    """A PBX with so many pages of queue calls, and of the other calls none."""
    table = queue_table([NOON - timedelta(minutes=30 * n) for n in range((pages - 1) * (CAP - 1))])
    account = Account("key", {"queue_calls": table}, requests=requests, window_seconds=window_seconds)
    limits = {"requests": requests, "window_seconds": window_seconds, "reserve_interactive": 0}
    site = make_site(account, settings={f"budget.{name}": f"{value}" for name, value in limits.items()}, **options)
    site.pbx.add_fault(Fault("rows", times=None, mutate_rows=lambda rows: rows[:CAP]))
    return site


def test_waiting_takes_no_longer_than_it_must(make_site: MakeSite) -> None:
    """A load takes at most 5 % longer than what it takes without a limit and the windows that it has to sit out.

    At the least: so many requests a window go at once, so n of them sit out ceil(n / requests) - 1 windows.
    """
    site = capped_site(make_site, pages=19, requests=1000, window_seconds=20)
    unlimited = site.load()
    asked = len(site.pbx.arrivals)
    site.warehouse.unlink()
    site.set_setting("budget.requests", "12")
    site.set_setting("budget.ledger", str(site.folder / "new.sqlite"))
    waiting = site.load()
    assert (unlimited.error, waiting.error) == (None, None)
    assert_truth(site)
    arrivals = site.pbx.arrivals[asked:]
    assert {arrival.status for arrival in arrivals} == {200}
    assert most_within(20, [arrival.at for arrival in arrivals]) <= 12
    windows = (len(arrivals) - 1) // 12
    assert windows == 1
    least = windows * 20 + unlimited.seconds
    assert windows * 20 <= waiting.seconds <= 1.05 * least


def test_four_processes_and_one_killed(make_site: MakeSite) -> None:
    """Four loads that share a key get through twice their budget without a 429, though one dies with an answer due."""
    site = capped_site(make_site, 9, requests=20, window_seconds=2, latency_seconds=0.4, random_latency=True)
    site.set_setting("budget.ledger", str(site.folder / "ledger.sqlite"))
    cases = [replace(site, folder=site.folder / str(number)) for number in range(4)]
    runs = []
    for case in cases:
        case.folder.mkdir()
        runs.append(night.start(case, "load", **places(case)))
    while len(site.pbx.arrivals) < 18:
        time.sleep(0.01)
    runs[0].kill()
    assert runs[0].end().code == -signal.SIGKILL
    runs[0] = night.start(cases[0], "load", **places(cases[0]))
    assert [run.end().code for run in runs] == [0] * 4
    for case in cases:
        assert_truth(case)
    assert len(site.pbx.arrivals) >= 4 * 12
    assert {arrival.status for arrival in site.pbx.arrivals} == {200}
    assert site.pbx.most_in_window(2) <= 20


def places(case: Site) -> dict[str, Any]:
    """A state and a warehouse of its own."""
    state, warehouse = str(case.folder / "state"), str(case.folder / "warehouse.duckdb")
    return {"CALLS_HOME": state, "DESTINATION__DUCKDB__CREDENTIALS": warehouse}


def test_what_is_spent_is_spent(make_site: MakeSite) -> None:
    """A run gets what earlier ones have left of the budget, says when there will be more, and costs nothing then."""
    site = capped_site(make_site, pages=9, requests=10, window_seconds=60)
    assert site.run("load", "--endpoint", "user_calls", "--endpoint", "ringgroup_calls").code == 0
    second = site.run("load", "--on-budget", "stop")
    assert second.code == 75
    assert "The request budget is spent: 10 in 60 s. The next request may leave at 20" in second.err
    assert len(site.pbx.arrivals) == 10
    assert {arrival.status for arrival in site.pbx.arrivals} == {200}
    (kept,) = site.query("select count(*) as calls from raw.queue_calls")
    assert kept["calls"] > 0
    assert site.run("load", "--on-budget", "stop").code == 75
    assert site.query("select count(*) as calls from raw.queue_calls") == [{"calls": kept["calls"]}]
    assert len(site.pbx.arrivals) == 10
