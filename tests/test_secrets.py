"""The key and the callers' numbers stay where they belong: the key in the settings, the numbers in the warehouse."""

import gzip
import os
import re
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.sandbox.account import Account
from pipelines.sandbox.callcentre import CallCentre, simulate
from pipelines.voipcloud.settings import read_accounts
from pipelines.warehouse import read_target
from tests.support import night
from tests.support.site import Ran, Site, assert_truth

KEY = "5f0e-the-one-key-1b77"
USER, NUMBER = "+61255501234", "+61491570156"
NUMBER_FIELDS = {
    "user_calls": ("from_number", "to_number"),
    "queue_calls": ("callerid", "inbound_number"),
    "ringgroup_calls": ("callerid", "inbound_number"),
}
MakeSite = Callable[..., Site]
# Python finds it before anything else; it notes each look at the network, and each file opened to be written elsewhere.
WATCHER = """
import os, sys
folder = os.environ["WATCHED"]
note = os.open(folder + "/seen", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

def see(event, details):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"):
        os.write(note, f"{event} {details[1:] if event == 'socket.connect' else details[:2]}\\n".encode())
    if event == "open" and details[2] & (os.O_WRONLY | os.O_RDWR) and not str(details[0]).startswith((folder, "/dev/")):
        os.write(note, f"write {details[0]}\\n".encode())

sys.addaudithook(see)
"""


@pytest.fixture
def site(make_site: MakeSite, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A week of a small call centre; what a run writes into the system's temporary folder is found in `temporary`."""
    first = datetime.now(UTC).date() - timedelta(days=8)
    made = make_site(Account(KEY, simulate(CallCentre(first_day=first, days=7, calls_per_day=60))))
    (made.folder / "temporary").mkdir(mode=0o700)
    monkeypatch.setenv("TMPDIR", str(made.folder / "temporary"))
    return made


def secrets_of(site: Site) -> "re.Pattern[bytes]":
    """The key, and the digits of every phone number that the PBX tells of; extensions are too short to be one."""
    found = {NUMBER, USER}
    for endpoint, names in NUMBER_FIELDS.items():
        found |= {str(row[name]) for row in site.pbx.records(endpoint) for name in names}
    numbers = [number.removeprefix("+") for number in found if len(number) > 8]
    assert len(numbers) > 200
    return re.compile("|".join(map(re.escape, [KEY, *numbers])).encode())


def contents(path: Path) -> bytes:
    """A file's bytes, unpacked where it is packed and not half written by a run that was killed."""
    if path.suffix == ".parquet":
        with suppress(pa.ArrowInvalid):
            return str(pq.read_table(path).to_pydict()).encode()
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def files(site: Site) -> Iterator[Path]:
    """Every file there is but the warehouse."""
    for path in site.folder.rglob("*"):
        if path.is_file() and not path.name.startswith("warehouse.duckdb"):
            yield path


def assert_private(site: Site) -> None:
    """Nobody but the user can read or enter anything that a run made."""
    for path in [*site.folder.glob("warehouse*"), site.folder / "state", *(site.folder / "state").rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert not mode & 0o077, f"{path} {mode:o}"


def test_nothing_tells(site: Site) -> None:
    """After loads that succeed, reject, fail and are killed, dialling, and every look at them, no output and no file
    but the warehouse holds the key or a number, and all files are the user's alone."""
    said: list[Ran] = []

    def run(*arguments: str, typed: str = "", before: night.Before = night.nothing) -> int:
        said.append(night.run(site, *arguments, typed=typed, before=before))
        return said[-1].code

    secrets = secrets_of(site)
    site.pbx.fault("lists", every=7, times=None)  # a number in a list: rejected
    site.pbx.fault("unknown_fields", every=5, times=None)
    assert run("load") == 0
    site.pbx.faults.clear()
    again = ("load", "--from", f"{datetime.now(UTC) - timedelta(days=9):%Y-%m-%d}", "--allow-shrink")
    for kind, code in (("401", 77), ("html", 65), ("redirect", 78), ("code", 69)):
        fault = site.pbx.fault(kind, times=None, after=2)
        assert run(*again) == code
        site.pbx.faults.remove(fault)
    assert run(*again, before=night.die_at(r"sql .*INSERT INTO .*_calls")) == -signal.SIGKILL
    assert_private(site)
    assert any(secrets.search(contents(path)) for path in files(site)), "the killed run had calls under way"
    assert run(*again) == 0
    assert run("dial", USER, NUMBER, "--yes") == 0
    assert run("dial", USER, NUMBER, typed="n\n") == 1
    site.pbx.accounts["main"].licensed = False
    assert run("dial", USER, NUMBER, typed="y\n") == 77
    site.pbx.accounts["main"].licensed = True
    site.pbx.fault("reset")
    assert run("dial", USER, NUMBER, "--yes") == 69
    assert run("dial", USER, NUMBER + NUMBER, "--yes") == 2
    assert run("dial", USER, NUMBER, NUMBER, "--yes") == 2
    assert site.pbx.rings == [("main", USER, NUMBER)] * 2
    for command in (["status"], ["budget"], ["system-status"], ["doctor"], ["load"]):
        assert run(*command) == 0
        assert command == ["doctor"] or run(*command, "--json") == 0
    for ran in said:
        assert not secrets.search((ran.out + ran.err).encode()), ran
    for path in files(site):
        assert not secrets.search(contents(path)), path
    assert KEY.encode() not in site.warehouse.read_bytes()
    assert not list((site.folder / "temporary").iterdir())
    assert_private(site)
    assert_truth(site)
    assert not any("api_key" in arrival.parameters for arrival in site.pbx.arrivals)


@pytest.mark.usefixtures("site")
def test_objects_do_not_show_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a debugger or a stray log line shows of an account, a budget or a warehouse holds no key and no password."""
    (account,) = read_accounts()
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", "postgresql://calls:a-password@db.example/calls")
    for thing in (account, account.access, account.open_budget(), read_target("postgres")):
        for shown in (repr(thing), str(thing)):
            assert KEY not in shown
            assert "a-password" not in shown


def test_nobody_else_is_asked(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A load, from its first import on, connects to the PBX, looks no other name up, and writes in its folders only."""
    (site.folder / "observer").mkdir()
    (site.folder / "observer" / "sitecustomize.py").write_text(WATCHER)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site.folder / "observer"), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("WATCHED", str(site.folder))
    monkeypatch.setenv("HOME", str(site.folder / "home"))
    for name in ("http", "https", "all"):  # what goes through such a proxy is refused, and noted above
        monkeypatch.setenv(f"{name}_proxy", "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    ran = site.spawn("load")
    assert ran.code == 0, ran.err
    port = site.pbx.base_url.rpartition(":")[2]
    seen = set((site.folder / "seen").read_text().splitlines())
    assert f"socket.connect (('127.0.0.1', {port}),)" in seen
    assert {line for line in seen if f"'127.0.0.1', {port}" not in line} == set()
    assert not (site.folder / "home").exists()
