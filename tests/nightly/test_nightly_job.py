"""`calls run` as a scheduler runs it: its log, whom it tells, its code, and nights on which something is in the way."""

import json
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.errors import SettingsError
from pipelines.nightly.log import KEPT, MAX_BYTES
from pipelines.nightly.notify import read_notify_settings
from pipelines.sandbox.account import Account
from tests.support import night
from tests.support.messages import KEY, NUMBERS, assert_told
from tests.support.site import Site, assert_truth, queue_call, user_call

MakeSite = Callable[..., Site]


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """A PBX with three weeks of a few calls."""
    now = datetime.now(UTC).replace(microsecond=0)
    starts = [now - timedelta(hours=7 * n + 3) for n in range(72)]
    tables = {"queue_calls": [queue_call(start) for start in starts], "user_calls": [user_call(at) for at in starts]}
    return make_site(Account(KEY, tables))


def log_of(site: Site) -> str:
    """What stands in the log."""
    return (site.folder / "state" / "logs" / "calls.log").read_text()


def marts_of(site: Site) -> dict[str, int]:
    """The rows of each mart that readers have."""
    with duckdb.connect(str(site.folder / "published" / "calls.duckdb"), read_only=True) as readers:
        names = [name for (name,) in readers.execute("select table_name from duckdb_tables()").fetchall()]
        return {name: len(readers.execute(f"from marts.{name}").fetchall()) for name in names}


def test_a_week_off_and_a_new_key(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a week in which the machine was off, a night reads the week in one request a list and publishes it. A key
    that was changed ends the next with 77, told and logged, with the copy left as it is; with the new key all is there.
    The log has each night, the user's alone, and neither key nor number."""
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
    """A log grown large makes way, of the older ones a few are kept, and one that cannot be written stops no run."""
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


def tells(site: Site, code: str) -> Path:
    """Sets a command that writes what it got to a file, which is given, and then does `code`."""
    told = site.folder / "told"
    script = site.folder / "tell.py"
    script.write_text(
        "import json, os, sys, time\n"
        f"json.dump([json.load(sys.stdin), dict(os.environ)], open({str(told)!r}, 'w'))\n" + code
    )
    return told


def test_a_command_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command gets the failed night as JSON, but no secret and no number; neither its failing nor its hanging changes
    the exit code; of a night without errors nothing is told."""
    monkeypatch.setenv("NOTIFY__COMMAND", json.dumps([sys.executable, str(site.folder / "tell.py")]))
    monkeypatch.setenv("NOTIFY__TIMEOUT_SECONDS", "5")
    site.pbx.fault("401", times=None)
    for code, warning in (("", ""), ("sys.exit(3)", "ended with 3"), ("time.sleep(60)", "was killed after 5 s")):
        told = tells(site, code)
        ran = site.run("run")
        assert ran.code == 77
        assert warning in ran.err
        body, environment = json.loads(told.read_text())
        assert body["exit_code"] == int(environment["CALLS_EXIT_CODE"]) == 77
        assert body["errors"][0]["exit_code"] == 77
        assert body["loads"][0]["account"] == "main"
        assert "main: " in body["text"]
        assert KEY not in told.read_text()
        assert not NUMBERS.search(told.read_bytes())
        told.unlink()
    site.pbx.faults.clear()
    assert site.run("run", "--json").code == 0
    assert not told.exists()


@contextmanager
def hook(status: int) -> Iterator[tuple[str, list[Any]]]:
    """A web server that answers every post with a status; its address, and what was posted."""
    posted: list[Any] = []

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing on the screen."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/hook/s3cret", posted
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("status", [200, 302, 500])
def test_a_webhook_is_told(site: Site, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    """A webhook gets the failed night once; whatever it answers, or if nobody does, the code stays, a warning names no
    address, and no redirect is followed. Settings that are missing are told of as well."""
    site.pbx.fault("401", times=None)
    with hook(status) as (address, posted):
        monkeypatch.setenv("NOTIFY__WEBHOOK", address)
        ran = site.run("run")
        monkeypatch.delenv("SOURCES__VOIPCLOUD__API_KEY")
        unset = site.run("run")
    gone = site.run("run")
    assert [ran.code, unset.code, gone.code] == [77, 78, 78]
    assert [body["exit_code"] for body in posted] == [77, 78]
    assert "ended with 77: main: " in posted[0]["text"]
    assert (f"answered {status}" in ran.err) == (status != 200)
    assert "was not reached" in gone.err
    assert "s3cret" not in ran.err + gone.err + log_of(site)
    assert KEY not in json.dumps(posted)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WEBHOOK", "http://hooks.example/x"),
        ("WEBHOOK", "ftp://hooks.example/x"),
        ("WEBHOOK", "https://[x"),
        ("COMMAND", "/not/there --at-all"),
        ("COMMAND", "'unclosed"),
        ("TIMEOUT_SECONDS", "0"),
        ("COMAND", "true"),
    ],
)
def test_wrong_settings(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """A setting of `[notify]` that cannot be used is told of as one."""
    monkeypatch.setenv(f"NOTIFY__{name}", value)
    with pytest.raises(SettingsError, match="notify"):
        read_notify_settings()


def test_a_wrong_setting_costs_no_night(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command in `[notify]` that is gone ends the run with 78, after the night and not instead of it."""
    monkeypatch.setenv("NOTIFY__COMMAND", "/not/there --at-all")
    ran = site.run("run", "--json")
    assert ran.code == 78
    assert "[notify]" in ran.err
    assert json.loads(ran.out)["published"] is not None
    assert "ended with 78" in (site.folder / "state" / "logs" / "calls.log").read_text()


def test_last_night_still_goes_on(site: Site) -> None:
    """A night that begins while last night's goes on ends with 75 and touches nothing; last night's ends well."""
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
    """A warehouse that a dashboard has open ends the night with 75 before the first request, and says where to look."""
    duckdb.connect(str(site.warehouse)).close()
    with duckdb.connect(str(site.warehouse), read_only=True):
        locked = night.run(site, "run")
    assert locked.code == 75
    assert "published/calls.duckdb" in locked.err
    assert not site.pbx.arrivals


def test_a_signal_ends_the_night(site: Site) -> None:
    """A signal while calls are read ends the night with what is whole loaded, and nothing built on it."""
    site.pbx.latency_seconds = 1.0
    run = site.start("run", "--json")
    wait_until(lambda: site.asked("user_calls"))
    run.send_signal(signal.SIGTERM)
    out, err = run.communicate(timeout=60)
    assert run.returncode == 75, err
    assert json.loads(out)["models"] == []


def test_a_full_disk(site: Site) -> None:
    """A disk that fills up while the copy is written, in a load or in a build ends in a message; readers keep what they
    have; with room again, the next night has everything."""
    assert site.run("run").code == 0
    before = marts_of(site)
    full = night.run(site, "publish", before=partial(limit_files, 600_000))
    assert full.code == 1, full.err
    assert "they keep the one they have" in full.err
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
    """No file of this process may grow beyond so many bytes."""
    import resource  # noqa: PLC0415 -- of the process to be limited

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def wait_until(happens: Callable[[], Any], seconds: float = 60) -> None:
    """Waits for something, and fails if it does not come."""
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
