"""Loads killed at the exit_code of times, by one's own hand or from outside: the next one loads each package once."""

import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Any

import duckdb
import pytest

from pipelines.sandbox.account import Account
from tests.support import night
from tests.support.site import Ran, Site, assert_truth, queue_table, user_call

MakeSite = Callable[..., Site]
Kill = Callable[[Site, dict[str, Any]], Ran]
NOON = datetime(2026, 9, 20, 12, tzinfo=UTC)
# Where a package stands when SIGKILL strikes, and the step that it strikes at.
PHASES = {
    "while it is extracted": r"os.mkdir .*/normalize/\w+/",
    "extracted": r"os.mkdir .*/load/new/",
    "normalized": r"sql .*search_path",
    "with a started job": r'sql .*INSERT INTO "raw(_staging_main)?"."\w+_calls"',
    "while calls are replaced": r'sql DELETE FROM "raw"."\w+_calls"',
    "replaced, coverage not told": r'sql INSERT INTO "raw"."_dlt_pipeline_state"',
    "replaced, not committed": r'sql INSERT INTO "raw"."_dlt_loads"',
    "committed": r"os.rename .*/load/loaded/",
}
IN_A_STATEMENT_SECONDS = 0.003


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """A PBX with two pages of queue calls and one of user calls; a package is one page."""
    tables = {
        "queue_calls": queue_table([NOON - timedelta(seconds=40 * n) for n in range(12_500)]),
        "user_calls": [user_call(NOON - timedelta(minutes=n)) for n in range(500)],
    }
    return make_site(Account("key", tables, requests=10_000), settings={"package_pages": "1"})


def elsewhere(site: Site, name: str) -> tuple[Site, dict[str, Any]]:
    """The same PBX with a state and a warehouse of its own, and the settings that say so."""
    folder = site.folder / name
    folder.mkdir()
    state, warehouse = str(folder / "state"), str(folder / "warehouse.duckdb")
    return replace(site, folder=folder), {"CALLS_HOME": state, "DESTINATION__DUCKDB__CREDENTIALS": warehouse}


def kill_and_resume(site: Site, name: str, kill: Kill) -> None:
    """Kills a load into a new warehouse, and lets the next run end it: with the truth, and with few requests."""
    case, settings = elsewhere(site, name)
    seen = len(site.pbx.arrivals)
    killed = kill(case, settings)
    assert killed.code in (-signal.SIGKILL, -signal.SIGALRM), f"{name}: {killed.err}"
    ended = night.run(case, "load", **settings)
    assert ended.code == 0, f"{name}: {ended.err}"
    assert_truth(case)
    # Undisturbed: two pages of queue calls, one of the others. Read again: the package, of one page, that was under
    # way, and what a new run asks for in any case, the newest days of every list.
    asked = [arrival for arrival in site.pbx.arrivals[seen:] if arrival.endpoint != "system_status"]
    assert len(asked) <= 4 + 1 + 3, name
    shutil.rmtree(case.folder)


def die(step: str, package: int, after_seconds: float = 0.0) -> Kill:
    """A load that kills itself at a step of the n-th package."""

    def kill(case: Site, settings: dict[str, Any]) -> Ran:
        return night.run(case, "load", before=night.die_at(step, package, after_seconds), **settings)

    return kill


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("package", "phases"),
    [
        (1, ["extracted", "with a started job", "replaced, coverage not told", "replaced, not committed"]),
        (2, ["while it is extracted", "while calls are replaced", "replaced, coverage not told", "committed"]),
        pytest.param(1, list(PHASES), marks=pytest.mark.soak),
        pytest.param(2, list(PHASES), marks=pytest.mark.soak),
    ],
)
def test_killed_in_each_phase(site: Site, package: int, phases: list[str]) -> None:
    """Wherever a package stands between two lists of dlt's and two tables of the warehouse, it is loaded once. The
    first goes into a new warehouse, where there is nothing to replace."""
    for name in phases:
        kill_and_resume(site, f"{name} {package}", die(PHASES[name], package))
    in_the_middle = die(PHASES["with a started job"], package, IN_A_STATEMENT_SECONDS)
    kill_and_resume(site, f"in a statement {package}", in_the_middle)


@pytest.mark.parametrize("requests", [(2, 4), pytest.param((1, 3, 5), marks=pytest.mark.soak)])
def test_killed_at_a_request(site: Site, requests: tuple[int, ...]) -> None:
    """Killed when the PBX sees the n-th request, before it answers, whichever it is."""

    def kill(after: int, case: Site, settings: dict[str, Any]) -> Ran:
        load, last = night.start(case, "load", **settings), len(site.pbx.arrivals) + after
        site.pbx.after_request = lambda _: load.kill() if len(site.pbx.arrivals) >= last else None
        try:
            return load.end()
        finally:
            site.pbx.after_request = None

    for number in requests:
        kill_and_resume(site, f"request {number}", partial(kill, number))


@pytest.mark.soak
def test_killed_at_a_moment(site: Site) -> None:
    """Killed from outside at random moments, in the middle of whatever it does."""
    random, begun = Random(2), time.monotonic()
    whole, settings = elsewhere(site, "undisturbed")
    assert night.run(whole, "load", **settings).code == 0
    longest = time.monotonic() - begun

    def kill(case: Site, settings: dict[str, Any]) -> Ran:
        load = night.start(case, "load", **settings)
        time.sleep(random.uniform(0.05, 0.6) * longest)
        load.kill()
        return load.end()

    for number in range(10):
        kill_and_resume(site, f"moment {number}", kill)


def test_killed_while_another_account_is_there(make_site: MakeSite) -> None:
    """An account's first load, killed with its calls in the tables that another account made, doubles none."""
    calls = {"user_calls": [user_call(NOON - timedelta(minutes=n)) for n in range(100)]}
    two = make_site(Account("one", calls, name="north"), Account("other", calls, name="south"))
    assert night.run(two, "load", "--account", "north").code == 0
    killed = night.run(two, "load", "--account", "south", before=night.die_at(PHASES["replaced, not committed"]))
    assert killed.code == -signal.SIGKILL
    assert night.run(two, "load").code == 0
    assert_truth(two, "north")
    assert_truth(two, "south")


def test_a_week_old_warehouse(make_site: MakeSite) -> None:
    """A warehouse restored from last week's backup gets the week anew, with the calls that changed in it."""
    now = datetime.now(UTC).replace(microsecond=0)
    rows = [user_call(now - timedelta(hours=n)) for n in range(12, 600, 3)]
    site = make_site(Account("key", {"user_calls": rows}))
    assert site.load(clock=lambda: time.time() - 7 * 86_400).error is None
    backup = shutil.copy(site.warehouse, site.folder / "backup")
    site.pbx.replace("user_calls", 3, user_call(now - timedelta(hours=21), seconds=1234))
    site.pbx.insert("user_calls", user_call(now - timedelta(hours=100)))
    for state_too in (False, True):
        assert site.load().error is None
        assert_truth(site)
        shutil.copy(backup, site.warehouse)
        if state_too:
            shutil.rmtree(site.folder / "state")
    assert site.load().error is None
    assert_truth(site)


def test_a_second_signal_ends_at_once(site: Site) -> None:
    """Whoever cannot wait for the answer under way asks twice, and the next run has the truth."""
    site.pbx.fault("hang", seconds=60, endpoint="user_calls")
    load = night.start(site, "load")
    wait_until(lambda: site.asked("user_calls") > 0)
    load.kill(signal.SIGINT)
    time.sleep(0.3)
    load.kill(signal.SIGINT)
    begun = time.monotonic()
    assert load.end().code == -signal.SIGINT
    assert time.monotonic() - begun < 10
    assert site.load().error is None
    assert_truth(site)


def test_a_signal_ends_a_wait(site: Site) -> None:
    """A run that waits for the budget heeds a signal at once, with 75, and says what holds."""
    site.pbx.fault("429", retry_after=600, endpoint="user_calls")
    load = night.start(site, "load")
    wait_until(lambda: (load.folder / "err").exists() and "the budget is spent; next request in" in load.said("err"))
    load.kill(signal.SIGTERM)
    ended = load.end()
    assert ended.code == 75
    assert "Stopped by SIGTERM; what was read is loaded" in ended.err


def test_looks_do_not_disturb(site: Site) -> None:
    """A load waits for whoever has the warehouse open for a moment, and status answers however often, while it runs."""
    assert night.run(site, "load").code == 0
    looks = []
    with duckdb.connect(str(site.warehouse)):  # as status has it open for a moment
        load = night.start(site, "load", "--from", "2026-09-01")
        time.sleep(1)
    while load.process.is_alive():
        looks.append(night.start(site, "status", "--json"))
        time.sleep(0.2)
    assert load.end().code == 0
    assert {look.end().code for look in looks} == {0}
    assert_truth(site)


def wait_until(happens: Callable[[], Any], seconds: float = 30) -> None:
    """Waits for something, and fails if it does not come."""
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
