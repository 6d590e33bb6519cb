"""Many PBXs at once, into either warehouse: none is lost or doubled, and none suffers from what another meets."""

import json
import pickle
import re
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import psutil
import pytest

from pipelines.errors import UnexpectedError
from pipelines.load.account import LoadOptions, Observer, load_account
from pipelines.sandbox.account import Account
from pipelines.voipcloud.settings import read_accounts
from pipelines.warehouse import read_target
from pipelines.warehouse.postgres import hold_account
from tests.support.postgres_site import assert_truth_in, url
from tests.support.site import Ran, Site, assert_truth, queue_call, queue_table, ringgroup_call, user_call

__all__ = ["url"]  # a fixture

MakeSite = Callable[..., Site]
NOON = datetime(2026, 9, 20, 12, tzinfo=UTC)
LONGEST_SECONDS = 400


def account(name: str, calls: int = 120) -> Account:
    """A PBX whose calls nobody else has; most of its days are others' days too."""
    shift = timedelta(seconds=sum(name.encode()))
    tables = {
        "queue_calls": [queue_call(NOON + shift - timedelta(minutes=41 * n), queue_name=name) for n in range(calls)],
        "user_calls": [user_call(NOON + shift - timedelta(minutes=67 * n), user_name=name) for n in range(calls)],
        "ringgroup_calls": [ringgroup_call(NOON + shift - timedelta(hours=n), callerid="") for n in range(calls // 2)],
    }
    return Account(f"key-{name}", tables, name=name)


def assert_loaded(engine: str, url: str, site: Site, *names: str) -> None:
    """The named accounts are in the warehouse as the PBX has them."""
    if engine == "postgres":
        assert_truth_in(url, site, names)
    else:
        for name in names:
            assert_truth(site, name)


def load(site: Site, engine: str, jobs: int = 4, *arguments: str) -> Ran:
    """`calls load --jobs …` in a process of its own."""
    process = site.start("load", "--destination", engine, "--jobs", str(jobs), *arguments)
    out, err = process.communicate(timeout=LONGEST_SECONDS)
    return Ran(process.returncode, out, err)


@pytest.mark.parametrize(("engine", "many"), [("duckdb", 4), ("postgres", 16)])
def test_many_at_once(make_site: MakeSite, url: str, engine: str, many: int) -> None:
    """Accounts that load side by side into a new warehouse lose and double nothing, nor when they do so again after
    calls came and went and whole days were emptied, which alters tables that all share."""
    names = [f"site{number:02}" for number in range(many)]
    site = make_site(*(account(name, 40) for name in names))
    first = load(site, engine, many, "--json")
    assert first.code == 0, first.err
    assert [one["account"] for one in json.loads(first.out)["loads"]] == names
    assert_loaded(engine, url, site, *names)
    for name in names:
        site.pbx.insert("queue_calls", queue_call(NOON - timedelta(hours=3), queue_name="late"), account=name)
        day = [row for row in site.pbx.records("user_calls", name) if str(row["call_start_at"]) >= str(NOON.date())]
        for _ in day:
            site.pbx.remove("user_calls", 0, account=name)
    again = load(site, engine, many, "--from", "2026-09-19", "--allow-shrink")
    assert again.code == 0, again.err
    assert_loaded(engine, url, site, *names)


@pytest.mark.parametrize("engine", ["duckdb", pytest.param("postgres", marks=pytest.mark.soak)])
def test_each_for_itself(make_site: MakeSite, url: str, engine: str) -> None:
    """A refused key, an answer that cannot be read and a spent budget end their own account's load, are named and leave
    the others whole; the code is the gravest. Mended, the next run has all."""
    names = ["good", "refused", "garbled", "spent", "fine"]
    site = make_site(*map(account, names))
    site.pbx.fault("401", account="refused", times=None)
    site.pbx.fault("html", account="garbled", endpoint="queue_calls", times=None)
    site.set_setting("accounts.spent.budget.requests", "2")
    site.set_setting("accounts.spent.budget.reserve_interactive", "0")
    ran = load(site, engine, 3, "--on-budget", "stop", "--json")
    codes = {one["account"]: (one["error"] or {"exit_code": 0})["exit_code"] for one in json.loads(ran.out)["loads"]}
    assert codes == {"good": 0, "refused": 77, "garbled": 65, "spent": 75, "fine": 0}
    assert ran.code == 77
    assert "refused" in ran.err
    assert_loaded(engine, url, site, "good", "fine")
    site.pbx.faults.clear()
    site.set_setting("accounts.spent.budget.requests", "100")
    assert load(site, engine, 3).code == 0
    assert_loaded(engine, url, site, *names)


@pytest.fixture
def slow(make_site: MakeSite) -> Iterator[Site]:
    """Four PBXs, one of which, `slow`, is long in answering for queue calls; a package is a page."""
    site = make_site(account("one"), account("slow"), account("two"), account("three"))
    site.pbx.fault("hang", seconds=60, account="slow", endpoint="queue_calls")
    yield site
    site.pbx.faults.clear()


def test_a_setting_of_one_account_is_wrong(make_site: MakeSite) -> None:
    """It is that account's error, and the night of the others goes on: loaded, published, told of."""
    site = make_site(account("north"), account("south"))
    site.set_setting("accounts.north.timezone", "Australia/Sydny")
    night = site.run("run", "--json")
    assert night.code == 78
    told = {load["account"]: load["error"] for load in json.loads(night.out)["loads"]}
    assert (told["south"], "north: the setting timezone" in told["north"]["message"]) == (None, True)
    assert (site.folder / "published" / "calls.duckdb").exists()
    assert_truth(site, "south")
    assert site.run("load", "--jobs", "2").code == 78
    site.set_setting("accounts.south.timezone", "Mars")
    neither = site.run("load")
    assert (neither.code, neither.out) == (78, "")


def test_what_nobody_foresaw(make_site: MakeSite) -> None:
    """It is its account's error, says where and not what it held, and the next run has the truth."""
    site = make_site(account("main"))

    def break_down(*_: object) -> None:
        raise ZeroDivisionError("key-main")

    loaded = load_account(read_accounts()[0], read_target("duckdb"), LoadOptions(), Observer(on_page=break_down))
    assert isinstance(loaded.error, UnexpectedError)
    assert re.fullmatch(
        r"main: the load broke \(ZeroDivisionError in [a-z_]+\.py, line \d+\): this is a mistake in calls\.",
        str(pickle.loads(pickle.dumps(loaded.error))),  # noqa: S301 -- as it comes from another process
    )
    assert site.load("main").error is None
    assert_truth(site, "main")


@pytest.mark.parametrize("engine", ["duckdb", pytest.param("postgres", marks=pytest.mark.soak)])
def test_a_killed_process(slow: Site, url: str, engine: str) -> None:
    """SIGKILL of one account's process is that account's error, the rest goes on, and the next run has the truth."""
    run = slow.start("load", "--destination", engine, "--jobs", "2")
    wait_for(lambda: slow.asked("queue_calls", "slow") and slow.asked("queue_calls", "three"))
    wait_for(lambda: len(loaders(run.pid)) == 1)
    loaders(run.pid)[0].kill()
    _, err = run.communicate(timeout=LONGEST_SECONDS)
    assert run.returncode == 75
    assert "slow: the process that loaded this account was ended from outside (SIGKILL)" in err
    assert_loaded(engine, url, slow, "one", "two", "three")
    slow.pbx.faults.clear()
    assert load(slow, engine).code == 0
    assert_loaded(engine, url, slow, "one", "slow", "two", "three")


@pytest.mark.parametrize(
    ("engine", "number"),
    [
        pytest.param("duckdb", signal.SIGINT, marks=pytest.mark.soak),
        ("postgres", signal.SIGTERM),
        ("duckdb", signal.SIGKILL),
        pytest.param("postgres", signal.SIGKILL, marks=pytest.mark.soak),
    ],
)
def test_the_run_is_ended(make_site: MakeSite, url: str, engine: str, number: signal.Signals) -> None:
    """A signal ends the pages under way, loads what is whole, with 75; SIGKILL leaves no process behind, no lock; the
    next run has the truth."""
    names = ["one", "two", "three"]
    site = make_site(*map(account, names), latency_seconds=1.0)
    run = site.start("load", "--destination", engine, "--jobs", "2")
    wait_for(lambda: site.asked("user_calls") >= 2)
    processes = loaders(run.pid)
    assert len(processes) == 2
    run.send_signal(number)
    _, err = run.communicate(timeout=LONGEST_SECONDS)
    if number == signal.SIGKILL:
        assert psutil.wait_procs(processes, timeout=20)[1] == []
    else:
        assert run.returncode == 75, err
        assert f"Stopped by {number.name}" in err
        assert site.asked("user_calls", "three") == 0
        assert [process for process in processes if process.is_running()] == []
    site.pbx.latency_seconds = 0
    ended = load(site, engine)
    assert ended.code == 0, ended.err
    assert_loaded(engine, url, site, *names)


def test_reading_is_parallel(make_site: MakeSite) -> None:
    """Into DuckDB, of which there is one writer, accounts are read at the same time."""
    names = [f"site{number}" for number in range(4)]
    site = make_site(*map(account, names), latency_seconds=1.5)
    assert load(site, "duckdb", 4).code == 0
    first = {name: next(a.at for a in site.pbx.arrivals if a.account == name) for name in names}
    assert max(first.values()) - min(first.values()) < 1.5
    for name in names:
        assert_truth(site, name)


def test_many_packages(make_site: MakeSite) -> None:
    """Packages of two accounts take turns at the one writer, and whole days stay whole."""
    tables = {"queue_calls": queue_table([NOON - timedelta(seconds=40 * n) for n in range(12_500)])}
    site = make_site(
        Account("one", tables, name="one"), Account("two", tables, name="two"), settings={"package_pages": "1"}
    )
    ran = load(site, "duckdb", 2, "--json")
    assert ran.code == 0, ran.err
    assert all(one["packages"] > 1 for one in json.loads(ran.out)["loads"])
    assert_loaded("duckdb", "", site, "one", "two")


def loaders(pid: int) -> list[psutil.Process]:
    """The processes that load accounts for the run `pid`."""
    return [child for child in psutil.Process(pid).children(recursive=True) if child.ppid() != pid]


def wait_for(happens: Callable[[], object], seconds: float = LONGEST_SECONDS) -> None:
    """Waits for something, and fails if it does not come."""
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_two_hosts_do_not_load_one_account_at_once(make_site: MakeSite, url: str) -> None:
    """A run of another host, with a state of its own, is told from the database that the account is being loaded."""
    site = make_site(account("leeds", 20))
    with hold_account(url, "main"):
        ran = site.run("load", "--destination", "postgres")
    assert ran.code == 75
    assert "another run, perhaps another host's" in " ".join(ran.err.split())
    assert not site.pbx.arrivals
    assert site.run("load", "--destination", "postgres").code == 0
