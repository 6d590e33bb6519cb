"""`calls run` as a scheduler runs it: its log, its notifications, its exit code, and nights that meet an obstacle."""

import json
import signal
import stat
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import duckdb
import pytest

from pipelines.nightly.log import KEPT, MAX_BYTES
from pipelines.sandbox.account import Account
from tests.support import night
from tests.support.messages import KEY, NUMBERS, assert_told
from tests.support.site import Site, assert_truth, queue_call, user_call

MakeSite = Callable[..., Site]


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """A PBX with a few calls a day, for three weeks."""
    now = datetime.now(UTC).replace(microsecond=0)
    starts = [now - timedelta(hours=7 * n + 3) for n in range(72)]
    tables = {"queue_calls": [queue_call(start) for start in starts], "user_calls": [user_call(at) for at in starts]}
    return make_site(Account(KEY, tables))


def log_of(site: Site) -> str:
    """The log's text."""
    return (site.folder / "state" / "logs" / "calls.log").read_text()


def marts_of(site: Site) -> dict[str, int]:
    """The number of rows of each published mart."""
    with duckdb.connect(str(site.folder / "published" / "calls.duckdb"), read_only=True) as readers:
        names = [name for (name,) in readers.execute("select table_name from duckdb_tables()").fetchall()]
        return {name: len(readers.execute(f"from marts.{name}").fetchall()) for name in names}


def test_a_week_off_and_a_new_key(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a week with the machine off, a night reads the week in one request per list and publishes it. With a
    changed key the next ends with 77, is logged, and leaves the copy as it is; with the right one all is there. The log
    has each night, is the user's alone, and holds neither key nor number."""
    assert site.load(clock=lambda: time.time() - 7 * 86_400).error is None
    seen = site.asked("queue_calls")
    assert site.run("run").code == 0
    assert site.asked("queue_calls") == seen + 1
    assert_truth(site)
    before = marts_of(site)
    assert before["queue_calls"] == 72
    assert before["load_health"] >= 2
    site.pbx.insert("queue_calls", queue_call(datetime.now(UTC).replace(microsecond=0) - timedelta(hours=9)))
    with monkeypatch.context() as changed:
        changed.setenv("SOURCES__VOIPCLOUD__API_KEY", "not-the-key-any-more")
        refused = site.run("run")
    assert refused.code == 77
    assert marts_of(site) == before
    assert site.run("run").code == 0
    assert marts_of(site)["queue_calls"] == 73
    log = log_of(site)
    assert log.count("calls run begins") == 3
    assert [log.count(f"ended with {code} ") for code in (0, 77)] == [2, 1]
    assert "ERROR 77 main: " in log
    assert KEY not in log
    assert "not-the-key" not in log
    assert not NUMBERS.search(log.encode())
    for path in (site.folder / "state" / "logs", *(site.folder / "state" / "logs").iterdir()):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077


def test_the_log_rotates(site: Site) -> None:
    """A large log is rotated, a few older ones are kept, and a log that cannot be written stops no run."""
    logs = site.folder / "state" / "logs"
    logs.mkdir(parents=True)
    (logs / "calls.log").write_text("x" * MAX_BYTES)
    for number in range(1, KEPT + 1):
        (logs / f"calls.log.{number}").write_text(str(number))
    site.pbx.fault("401", times=None)
    assert site.run("run").code == 77
    assert len(list(logs.iterdir())) == KEPT + 1
    assert (logs / "calls.log.2").read_text() == "1"
    assert len(log_of(site)) < 10_000
    for path in logs.iterdir():
        path.unlink()
    logs.rmdir()
    logs.write_text("not a folder")
    refused = site.run("run")
    assert refused.code == 77
    assert "Traceback" not in refused.err


def test_last_night_is_still_running(site: Site) -> None:
    """A night that begins while another is running ends with 75 and changes nothing; the other succeeds."""
    site.pbx.latency_seconds = 3.0
    last = site.start("run")
    wait_until(lambda: site.pbx.arrivals)
    second = site.run("run", "--json")
    assert second.code == 75
    summary = json.loads(second.out)
    assert not summary["models"]
    assert "another run has been loading this account since" in summary["errors"][0]["message"]
    site.pbx.latency_seconds = 0.0
    out, err = last.communicate(timeout=240)
    assert last.returncode == 0, err
    assert "Published" in out
    assert_truth(site)


def test_a_locked_warehouse(site: Site) -> None:
    """If a dashboard has the warehouse open, the night ends with 75 before the first request, and says what to open."""
    duckdb.connect(str(site.warehouse)).close()
    with duckdb.connect(str(site.warehouse), read_only=True):
        locked = night.run(site, "run")
    assert locked.code == 75
    assert "published/calls.duckdb" in locked.err
    assert not site.pbx.arrivals


def test_a_signal_ends_the_night(site: Site) -> None:
    """A signal during the reading ends the night: whole days are loaded, and nothing is built on them."""
    site.pbx.latency_seconds = 1.0
    run = site.start("run", "--json")
    wait_until(lambda: site.asked("user_calls"))
    run.send_signal(signal.SIGTERM)
    out, err = run.communicate(timeout=60)
    assert run.returncode == 75, err
    assert json.loads(out)["models"] == []


def test_a_full_disk(site: Site) -> None:
    """If the disk fills up during a publish, a load or a build, there is a message, and readers keep what they have.
    With room again, the next night has everything."""
    assert site.run("run").code == 0
    before = marts_of(site)
    full = night.run(site, "publish", before=partial(limit_files, 600_000))
    assert full.code == 1, full.err
    assert "readers keep the one they have" in full.err
    assert marts_of(site) == before
    site.pbx.insert("queue_calls", queue_call(datetime.now(UTC).replace(microsecond=0) - timedelta(hours=9)))
    full = night.run(site, "run", before=partial(limit_files, int(0.3 * site.warehouse.stat().st_size)))
    assert full.code == 1, full.err
    assert "Traceback" not in full.err
    assert marts_of(site) == before
    assert site.run("load").code == 0
    full = night.run(site, "build", before=partial(limit_files, 100_000))
    assert_told(full, 1, "failed; what was published before stays")
    assert_told(site.run("publish"), 1, "readers keep the copy they have")
    assert marts_of(site) == before
    ran = site.run("run")
    assert ran.code == 0, ran.err
    assert marts_of(site)["queue_calls"] == before["queue_calls"] + 1
    assert_truth(site)


def limit_files(size: int) -> None:
    """Let no file of this process grow beyond so many bytes."""
    import resource  # noqa: PLC0415 -- of the process to be limited

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def wait_until(happens: Callable[[], Any], seconds: float = 60) -> None:
    """Wait for something, and fail if it does not happen."""
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
