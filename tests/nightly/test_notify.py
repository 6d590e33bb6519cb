"""The notification of a failed night: a command, a webhook, and the settings of both."""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import SettingsError
from pipelines.nightly.notify import read_notify_settings
from pipelines.sandbox.account import Account
from tests.support.messages import KEY, NUMBERS
from tests.support.site import Site, queue_call

MakeSite = Callable[..., Site]


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """A PBX with a few calls of yesterday."""
    now = datetime.now(UTC).replace(microsecond=0)
    return make_site(Account(KEY, {"queue_calls": [queue_call(now - timedelta(hours=n)) for n in range(20, 24)]}))


def write_command(site: Site, code: str) -> Path:
    """Write a command that saves its input and environment to a file, then runs `code`. Returns the file."""
    saved = site.folder / "saved"
    script = site.folder / "tell.py"
    script.write_text(
        "import json, os, sys, time\n"
        f"json.dump([json.load(sys.stdin), dict(os.environ)], open({str(saved)!r}, 'w'))\n" + code
    )
    return saved


def test_a_command_is_notified(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command gets the failed night as JSON, without secrets and numbers. If it fails or hangs, the exit code stays.
    A night without errors sends no notice."""
    monkeypatch.setenv("NOTIFY__COMMAND", json.dumps([sys.executable, str(site.folder / "tell.py")]))
    monkeypatch.setenv("NOTIFY__TIMEOUT_SECONDS", "5")
    site.pbx.fault("401", times=None)
    for code, warning in (("", ""), ("sys.exit(3)", "ended with 3"), ("time.sleep(60)", "was killed after 5 s")):
        saved = write_command(site, code)
        ran = site.run("run")
        assert ran.code == 77
        assert warning in ran.err
        body, environment = json.loads(saved.read_text())
        assert body["exit_code"] == int(environment["CALLS_EXIT_CODE"]) == 77
        assert body["errors"][0]["exit_code"] == 77
        assert body["loads"][0]["account"] == "main"
        assert "main: " in body["text"]
        assert KEY not in saved.read_text()
        assert not NUMBERS.search(saved.read_bytes())
        saved.unlink()
    site.pbx.faults.clear()
    assert site.run("run", "--json").code == 0
    assert not saved.exists()


@contextmanager
def hook(status: int) -> Iterator[tuple[str, list[Any]]]:
    """A web server that answers every post with a status. Yields its address, and what was posted."""
    posted: list[Any] = []

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/hook/s3cret", posted
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("status", [200, 302, 500])
def test_a_webhook_is_notified(site: Site, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    """A webhook gets the failed night once. Whatever it answers, and if nothing answers, the exit code stays, the
    warning does not show the address, and no redirect is followed. Missing settings are notified too."""
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
    assert "s3cret" not in ran.err + gone.err + (site.folder / "state" / "logs" / "calls.log").read_text()
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
    """A setting of `[notify]` that cannot be used raises `SettingsError`, which names the section."""
    monkeypatch.setenv(f"NOTIFY__{name}", value)
    with pytest.raises(SettingsError, match="notify"):
        read_notify_settings()


def test_a_wrong_setting_costs_no_night(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing command in `[notify]` ends the run with 78, after the night and not instead of it."""
    monkeypatch.setenv("NOTIFY__COMMAND", "/not/there --at-all")
    ran = site.run("run", "--json")
    assert ran.code == 78
    assert "[notify]" in ran.err
    assert json.loads(ran.out)["published"] is not None
    assert "ended with 78" in (site.folder / "state" / "logs" / "calls.log").read_text()
