"""A PBX that fails: every fault has its exit code and message, takes its slots, and loses nothing."""

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.budget import Budget, Limits
from pipelines.errors import CallsError, MayHaveRung
from pipelines.sandbox.account import Account
from pipelines.sandbox.faults import ANSWER_FAULTS
from pipelines.sandbox.server import SimulatedPBX
from pipelines.voipcloud.client import Access, Client
from tests.support import night
from tests.support.messages import KEY, assert_told
from tests.support.site import Ran, Site, assert_truth, queue_call, ringgroup_call, user_call

MakeSite = Callable[..., Site]
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
AT_ONCE = 6  # most of a failing run is waiting
CALLS: dict[str, Any] = {
    "user_calls": [user_call(NOON - timedelta(hours=n)) for n in range(60)],
    "queue_calls": [queue_call(NOON - timedelta(hours=n)) for n in range(60)],
    "ringgroup_calls": [ringgroup_call(NOON - timedelta(hours=n)) for n in range(60)],
}
# What a fault that never ends is told as: exit code, words of the message, attempts of each request.
TOLD = {
    "400": (78, "it does not know what was asked for", 1),
    "401": (77, "Whitelisted IPs", 1),
    "404": (78, "Check base_url", 1),
    "429": (75, "another program or host uses the same key", 1),
    **{status: (69, f"({status})", 3) for status in ("500", "502", "503", "504")},
    "code": (69, "(0)", 3),
    "redirect": (78, "Set base_url to the PBX's own address", 1),
    "html": (65, "a web page instead of JSON", 3),
    "bad_json": (65, "broken JSON instead of JSON", 3),
    "empty": (65, "an empty answer instead of JSON", 3),
    "string": (65, "sent a text where", 3),
    "data_null": (65, "sent null where a list", 1),
    "data_object": (65, "sent an object where a list", 1),
    "gzip": (0, "", 1),
    **dict.fromkeys(("truncated", "reset", "hang", "drip"), (69, "did not answer in 3 attempts", 3)),
}
NEXT_NIGHT = ("401", "502", "html", "reset")  # one of each way to end
PASSING = ("500", "503", "code", "html", "bad_json", "empty", "truncated", "reset", "hang", "gzip")


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """Settings that fit every PBX of this module."""
    return make_site(Account(KEY), settings={"timeout_seconds": "30"})


@contextmanager
def other_pbx(site: Site, name: str) -> Iterator[tuple[Site, dict[str, str]]]:
    """A PBX with sixty calls an endpoint, with a state and a warehouse of its own, and the settings that say so."""
    folder = site.folder / name
    folder.mkdir()
    with SimulatedPBX(Account(KEY, CALLS)) as pbx:
        yield (
            replace(site, pbx=pbx, folder=folder),
            {
                "CALLS_HOME": str(folder / "state"),
                "DESTINATION__DUCKDB__CREDENTIALS": str(folder / "warehouse.duckdb"),
                "SOURCES__VOIPCLOUD__BASE_URL": pbx.base_url,
            },
        )


def load(site: Site, settings: dict[str, str], kind: str, **fault: Any) -> Ran:
    """A load while a fault strikes; where it is silence, with little patience."""
    site.pbx.fault(kind, seconds=6, **fault)
    patience = {"SOURCES__VOIPCLOUD__TIMEOUT_SECONDS": "1"} if kind in ("hang", "drip") else {}
    return night.run(site, "load", "--on-budget", "stop", **settings, **patience)


def spent(site: Site) -> int:
    """How many slots the ledger says are taken."""
    host = site.pbx.base_url.removeprefix("http://")
    return Budget(site.folder / "state" / "ledger.sqlite", host, KEY, Limits()).usage().used


def fail(site: Site, kind: str) -> None:
    """One fault, all the time."""
    code, words, attempts = TOLD[kind]
    with other_pbx(site, kind) as (case, settings):
        ran = load(case, settings, kind, times=None)
        assert_told(ran, code, words)
        asked = Counter(arrival.endpoint for arrival in case.pbx.arrivals)
        assert spent(case) == asked.total(), kind
        # What is wrong with one list need not be wrong with the others; anything else ends the run.
        lists = list(CALLS) if code in (0, 65, 78) else list(CALLS)[:1]
        assert [asked[endpoint] for endpoint in lists] == [attempts] * len(lists), kind
        assert asked.total() == asked["system_status"] + attempts * len(lists), kind
        if kind in NEXT_NIGHT:
            case.pbx.faults.clear()
            assert night.run(case, "load", **settings).code == 0, kind
            assert_truth(case)


def survive(site: Site, kind: str) -> None:
    """One fault, twice."""
    with other_pbx(site, f"twice {kind}") as (case, settings):
        assert_told(load(case, settings, kind, times=2, endpoint="queue_calls"), 0)
        assert case.asked("queue_calls") == (1 if kind == "gzip" else 3), kind
        assert spent(case) == len(case.pbx.arrivals), kind
        assert_truth(case)


def spoil_one_list(site: Site, kind: str) -> None:
    """One fault, all the time, at one endpoint, the first that is asked."""
    with other_pbx(site, f"one {kind}") as (case, settings):
        assert_told(load(case, settings, kind, times=None, endpoint="user_calls"), TOLD[kind][0], TOLD[kind][1])
        raw = case.raw()
        assert [len(raw[name]) for name in CALLS] == [0, 60, 60]
        case.pbx.faults.clear()
        assert night.run(case, "load", **settings).code == 0
        assert_truth(case)


def test_all_faults_are_told() -> None:
    """Every fault that the simulated PBX can make of an answer is among those tested."""
    assert set(TOLD) == set(ANSWER_FAULTS)


@pytest.mark.parametrize(("check", "kinds"), [(fail, TOLD), (survive, PASSING), (spoil_one_list, ("html", "404"))])
def test_faults(site: Site, check: Callable[[Site, str], None], kinds: Any) -> None:
    """A fault that stays ends the run with its code and a message, one that passes is retried, each attempt takes a
    slot, no redirect is followed, garbage from one endpoint leaves the others be, and the next run has the truth."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for done in [pool.submit(check, site, kind) for kind in kinds]:
            done.result()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
STRANGE = {
    "nothing": b"",
    "no HTTP": b"220 mail.example ESMTP\r\n",
    "no end of the head": b"HTTP/1.1 200 OK\r\nX: ",
    "a bad status": b"HTTP/1.1 xyz OK\r\n\r\n",
    "status 999": b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n",
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "304": b"HTTP/1.1 304 Not Modified\r\n\r\n",
    "a length below zero": HEAD + b"Content-Length: -5\r\n\r\n[]",
    "a huge length": HEAD + b"Content-Length: 99999999999999\r\n\r\n[]",
    "half a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nffff\r\n[",
    "a bad chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n[]\r\n",
    "no gzip": HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n[]",
    "no deflate": HEAD + b"Content-Encoding: deflate\r\nContent-Length: 2\r\n\r\n[]",
    "a deep nest": HEAD + b"Content-Length: 100000\r\n\r\n" + b"[" * 100_000,
    "a redirect to nowhere": b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\nContent-Length: 0\r\n\r\n",
    "a redirect to a file": b"HTTP/1.1 307 No\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n",
    "an odd Retry-After": b"HTTP/1.1 429 No\r\nRetry-After: \xb2soon\r\nContent-Length: 0\r\n\r\n",
    "an endless Retry-After": b"HTTP/1.1 429 No\r\nRetry-After: 9999999999999999999\r\nContent-Length: 0\r\n\r\n",
    "an odd Date": HEAD + b"Date: Mon, 99 Foo 2026\r\nContent-Length: 4\r\n\r\nnull",
    "a code that is a list": HEAD + b'Content-Length: 23\r\n\r\n{"code": [], "data":[]}',
    "a code below zero": HEAD + b'Content-Length: 23\r\n\r\n{"code": -1, "data":[]}',
}


@contextmanager
def saying(answer: bytes) -> Iterator[str]:
    """A server on loopback that answers any request so; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(2)
                    connection.recv(65_536)
                    connection.sendall(answer)
                    connection.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.mark.parametrize("what", STRANGE)
def test_a_strange_answer(what: str, tmp_path: Path) -> None:
    """Whatever bytes come, a page is refused with an error of ours, and a call that was sent may have rung, unless the
    PBX said in so many words that it refuses."""
    with saying(STRANGE[what]) as address:
        access = Access("main", address, KEY, timeout_seconds=5, attempts=1)
        budget = Budget(tmp_path / "ledger.sqlite", "pbx", KEY, Limits())
        with Client(access, budget) as client:
            with pytest.raises(CallsError) as failed:
                client.fetch_calls("user_calls", from_date="", to_date="", names="", limit=100, offset=0)
            assert KEY not in str(failed.value)
            assert budget.usage().used == 1
            with pytest.raises(CallsError) as dialled:
                client.call_to_number("200", "+61491570006")
    told = dialled.value.exit_code == failed.value.exit_code and dialled.value.exit_code in (75, 77, 78)
    assert isinstance(dialled.value, MayHaveRung) != told
    assert "570006" not in str(dialled.value)


@pytest.mark.parametrize("bad", [b"\\ud83c", b"\xff\xfe", b"\x01"])
@pytest.mark.parametrize("frame", [b'{"code": 200, "data": [%s]}', b"[%s]"])
def test_a_text_that_is_none(bad: bytes, frame: bytes, tmp_path: Path) -> None:
    """A text cut within a character, in another encoding, or with a bare control character costs its own record at the
    most, and not the page, which would otherwise fail every night."""
    body = frame % (b'{"user_name": "Ann"}, {"user_name": "' + bad + b'"}, {"user_name": "Zo\xc3\xab"}')
    with saying(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body) as address:
        budget = Budget(tmp_path / "ledger.sqlite", "pbx", KEY, Limits())
        with Client(Access("main", address, KEY, attempts=1), budget) as client:
            page = client.fetch_calls("user_calls", from_date="", to_date="", names="", limit=100, offset=0)
    first, second, third = (json.loads(bytes(record)) for record in page)
    assert (first, third) == ({"user_name": "Ann"}, {"user_name": "Zoë"})
    assert second.keys() == {"user_name"}


def test_a_redirect_goes_nowhere(tmp_path: Path) -> None:
    """No host but the PBX ever sees the key: where it sends us on to, no connection arrives."""
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.settimeout(0.2)
        port = elsewhere.getsockname()[1]
        moved = f"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:{port}/\r\nContent-Length: 0\r\n\r\n".encode()
        with saying(moved) as address:
            budget = Budget(tmp_path / "ledger.sqlite", "pbx", KEY, Limits())
            with (
                Client(Access("main", address, KEY), budget) as client,
                pytest.raises(CallsError, match="not followed"),
            ):
                client.fetch_system_status()
        with pytest.raises(TimeoutError):
            elsewhere.accept()


def test_a_drip_is_cut_off(tmp_path: Path) -> None:
    """An answer that comes a little at a time is given up after `timeout_seconds` in all, not between two bytes."""
    with SimulatedPBX(Account(KEY, CALLS)) as pbx:
        pbx.fault("drip", seconds=60)
        budget = Budget(tmp_path / "ledger.sqlite", "pbx", KEY, Limits())
        begun = time.monotonic()
        access = Access("main", pbx.base_url, KEY, timeout_seconds=1.5, attempts=1)
        with Client(access, budget) as client, pytest.raises(CallsError, match="did not answer"):
            client.fetch_calls("user_calls", from_date="", to_date="", names="", limit=100, offset=0)
        assert 1.4 < time.monotonic() - begun < 10
