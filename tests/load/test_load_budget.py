"""The budget end to end: processes that share a key, stopping, waiting, and a key that others spend from too."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from pipelines.sandbox.account import Account
from tests.support import night
from tests.support.site import Site, assert_truth, queue_table, user_call

MakeSite = Callable[..., Site]
NOON = datetime(2026, 9, 20, 12, tzinfo=UTC)
SMALL = {"budget.requests": "20", "budget.window_seconds": "2", "budget.reserve_interactive": "0"}


def test_four_processes_share_a_key(make_site: MakeSite) -> None:
    """Four loads at once, with latency up to a second, never see a 429 nor more than 20 requests in 2 seconds."""
    tables = {"user_calls": [user_call(NOON - timedelta(minutes=n)) for n in range(300)]}
    account = Account("key", tables, requests=20, window_seconds=2)
    site = make_site(account, settings=SMALL, latency_seconds=1.0, random_latency=True)
    site.set_setting("budget.ledger", str(site.folder / "ledger.sqlite"))
    started = []
    for number in range(4):
        home = site.folder / str(number)
        started.append(
            night.start(
                site,
                "load",
                CALLS_HOME=str(home),
                DESTINATION__DUCKDB__CREDENTIALS=str(site.folder / f"{number}.duckdb"),
            )
        )
    for again in range(2):
        for number, load in enumerate(started):
            ended = load.end()
            assert ended.code == 0, ended.err
            if again == 0:
                started[number] = night.start(
                    site,
                    "load",
                    CALLS_HOME=str(site.folder / str(number)),
                    DESTINATION__DUCKDB__CREDENTIALS=str(site.folder / f"{number}.duckdb"),
                )
    assert len(site.pbx.arrivals) >= 32
    assert site.pbx.most_in_window(2) <= 20
    assert {arrival.status for arrival in site.pbx.arrivals} == {200}


def long_list(make_site: MakeSite, **settings: str) -> Site:
    """A PBX with nine pages of queue calls."""
    table = queue_table([NOON - timedelta(seconds=60 * n) for n in range(88_000)])
    account = Account(
        "key", {"queue_calls": table}, requests=10, window_seconds=float(settings["budget.window_seconds"])
    )
    return make_site(account, settings={"budget.requests": "10", "budget.reserve_interactive": "1", **settings})


def test_stop_keeps_what_was_read(make_site: MakeSite) -> None:
    """With `stop` a spent budget ends the run with 75; the next runs go on where it ended."""
    site = long_list(make_site, **{"budget.window_seconds": "5"})
    stopped = site.run("load", "--on-budget", "stop")
    assert stopped.code == 75
    first = site.query("select count(*) n, min(call_day) low from raw.queue_calls")[0]
    assert first["n"] > 10_000
    for _ in range(3):
        time.sleep(5.1)
        if site.run("load", "--on-budget", "stop").code == 0:
            break
    assert_truth(site)
    assert {arrival.status for arrival in site.pbx.arrivals} == {200}


def test_waiting_goes_on_by_itself(make_site: MakeSite) -> None:
    """With `wait` one run reads everything, with no request refused, and no sooner than the budget allows."""
    site = long_list(make_site, **{"budget.window_seconds": "3"})
    loaded = site.load()
    assert loaded.error is None
    assert_truth(site)
    assert len(site.pbx.arrivals) <= 1 + 2 + 10  # status, two empty lists, and ceil(88,000 / 10,000) + 1 pages
    assert site.pbx.most_in_window(3) <= 9
    assert {arrival.status for arrival in site.pbx.arrivals} == {200}


def test_somebody_else_spends_too(make_site: MakeSite) -> None:
    """After a 429 every process waits as long as the PBX asks, and then goes on."""
    account = Account("key", {"user_calls": [user_call(NOON)]}, retry_form="seconds")
    site = make_site(account)
    site.pbx.fault("429", retry_after=3, after=1)
    begun = time.monotonic()
    waiting = night.start(site, "load")
    while len(site.pbx.arrivals) < 2:
        time.sleep(0.02)
    time.sleep(0.5)
    other = night.run(
        site,
        "load",
        "--on-budget",
        "stop",
        DESTINATION__DUCKDB__CREDENTIALS=str(site.folder / "other.duckdb"),
        CALLS_HOME=str(site.folder / "state"),
    )
    assert other.code == 75
    assert waiting.end().code == 0
    assert time.monotonic() - begun >= 3
    gaps = [b.at - a.at for a, b in zip(site.pbx.arrivals, site.pbx.arrivals[1:], strict=False)]
    assert max(gaps) >= 3
    assert_truth(site)
