"""The simulated PBX fails on demand, in the ways of a real PBX and of a network, and can be stopped at any time."""

import socket
import ssl
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx
import orjson
import pytest

from pipelines.errors import UsageError
from pipelines.sandbox.account import Account
from pipelines.sandbox.faults import ANSWER_FAULTS, KINDS, ROW_FAULTS, Fault, read_fault
from pipelines.sandbox.request_log import Arrival
from pipelines.sandbox.responses import Style, WireRow
from pipelines.sandbox.server import SimulatedPBX

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
NUMBERS = {"user_number": "101", "number_to_call": "+61491570006"}
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without loading certificate authorities a request takes 20 ms less


def account(name: str = "main", size: int = 40) -> Account:
    """An account with some user calls."""
    rows: list[WireRow] = [
        {"user_name": "Ann", "is_inbound": i % 2, "call_start_at": NOON + timedelta(seconds=i), "call_duration": 35}
        for i in range(size)
    ]
    return Account(name, {"user_calls": rows}, Style(instants="Z"), name)


def ask(pbx: SimulatedPBX, path: str = "get-user-calls", key: str = "main") -> httpx.Response:
    """GET one path."""
    url = f"{pbx.base_url}/api/integration/v1/{path}"
    return httpx.get(url, headers={"token": key}, trust_env=False, verify=NO_TLS, timeout=5)


def outcome(pbx: SimulatedPBX) -> str:
    """What a client gets from one request: an exception, or the status, the body's code and the type of `data`."""
    try:
        response = ask(pbx)
    except httpx.HTTPError as error:
        return type(error).__name__
    try:
        body = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return f"{response.status_code} {response.headers.get('content-type')} unreadable"
    if isinstance(body, dict):
        return f"{response.status_code} code {body['code']} {type(body['data']).__name__}"
    return f"{response.status_code} {type(body).__name__}"


GATEWAY = "text/html; charset=utf-8 unreadable"
OUTCOMES = {
    "400": "400 code 400 list",
    "401": "401 code 401 list",
    "404": "404 code 404 list",
    "429": "429 code 429 list",
    "500": "500 code 500 list",
    "502": f"502 {GATEWAY}",
    "503": f"503 {GATEWAY}",
    "504": f"504 {GATEWAY}",
    "code": "200 code 0 list",
    "redirect": "302 None unreadable",
    "html": f"200 {GATEWAY}",
    "bad_json": "200 application/json unreadable",
    "empty": "200 application/json unreadable",
    "string": "200 str",
    "data_null": "200 code 200 NoneType",
    "data_object": "200 code 200 dict",
    "gzip": "200 code 200 list",
    "truncated": "RemoteProtocolError",
    "reset": "ReadError",
    "hang": "RemoteProtocolError",
    "drip": "200 code 200 list",
}


@pytest.mark.parametrize("kind", ANSWER_FAULTS)
def test_answer_fault(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Each answer fault looks to a client as named, strikes once, and the PBX prints nothing."""
    with SimulatedPBX(account()) as pbx:
        pbx.fault(kind, seconds=0.1)
        assert outcome(pbx) == OUTCOMES[kind]
        assert outcome(pbx) == "200 code 200 list"
    sent = {"reset": None, "hang": None, "truncated": 200}
    assert [a.status for a in pbx.arrivals] == [sent[kind] if kind in sent else int(OUTCOMES[kind][:3]), 200]
    assert capfd.readouterr() == ("", "")


ROW_OUTCOMES: dict[str, Callable[[WireRow], object]] = {
    "no_start": lambda row: row | {"call_start_at": None},
    "garbage_start": lambda row: row | {"call_start_at": "2026-02-31T25:61:00"},
    "text_numbers": lambda row: row | {"call_duration": "35", "is_inbound": str(row["is_inbound"])},
    "float_numbers": lambda row: row | {"call_duration": 35.0, "is_inbound": float(str(row["is_inbound"]))},
    "true_flags": lambda row: row | {"is_inbound": row["is_inbound"] == 1},
    "lists": lambda row: row | {"user_name": ["Ann"], "call_start_at": [row["call_start_at"]]},
    "unknown_fields": lambda row: row | {"unique_call_id": None, "recording": {"kept": True}},
    "not_objects": lambda _: "row",
}


@pytest.mark.parametrize("kind", ROW_FAULTS)
def test_row_fault(kind: str) -> None:
    """Each row fault changes rows as named: all of them, or one in `every`, the same in every page, and no record."""
    with SimulatedPBX(account()) as pbx:
        rows, truth = ask(pbx).json()["data"], pbx.records("user_calls")
        pbx.fault(kind, times=2)
        assert orjson.dumps(ask(pbx).json()["data"]) == orjson.dumps([ROW_OUTCOMES[kind](row) for row in rows])
        assert ask(pbx, "get-system-status").status_code == 200
        assert ask(pbx).content != ask(pbx).content
        pbx.fault(kind, times=None, every=4)
        page = ask(pbx).json()["data"]
        changed = [repr(row) != repr(new) for row, new in zip(rows, page, strict=True)]
        assert 2 < sum(changed) < 20
        assert ask(pbx, "get-user-calls?limit=7&offset=5").json()["data"] == page[5:12]
        assert pbx.records("user_calls") == truth


def test_any_change_of_rows() -> None:
    """A test can change a page's rows by functions of its own, one after the other."""
    with SimulatedPBX(account(size=3)) as pbx:
        pbx.fault("rows", mutate_rows=lambda rows: [*rows, rows[0], 7])
        pbx.fault("rows", mutate_rows=lambda rows: rows[::-1])
        page = ask(pbx).json()["data"]
        assert page[0] == 7
        assert page[1] == page[-1]
        assert len(page) == 5
        assert len(ask(pbx).json()["data"]) == 3


def test_where_and_when_a_fault_strikes() -> None:
    """A fault passes over `after` requests of its endpoint and account, strikes `times`, and affects no others."""
    accounts = account(), account("other")
    with SimulatedPBX(*accounts) as pbx:
        pbx.fault("503", after=1, times=2, endpoint="user_calls", account="main")
        pbx.fault("500", after=3, endpoint="user_calls", account="main")
        asked = [("get-user-calls", "main"), ("get-user-calls", "other"), ("get-queue-calls", "main")] * 5
        codes = [ask(pbx, path, key).status_code for path, key in asked]
        assert codes[::3] == [200, 503, 503, 500, 200]
        assert {*codes[1::3], *codes[2::3]} == {200}
        endless = pbx.fault("504", times=None)
        assert [ask(pbx, "get-system-status").status_code for _ in range(3)] == [504] * 3
        assert ask(pbx, "get-user-calls?limit=0").status_code == 400  # the check of parameters comes first
        pbx.faults.remove(endless)
        assert ask(pbx).status_code == 200


def test_too_many_requests_says_when() -> None:
    """The Retry-After of a 429 fault is seconds, a date, or absent."""
    with SimulatedPBX(account()) as pbx:
        pbx.fault("429")
        pbx.fault("429", retry_after=7)
        pbx.fault("429", retry_after=30, retry_form="date")
        assert "retry-after" not in ask(pbx).headers
        assert ask(pbx).headers["retry-after"] == "7"
        wait = parsedate_to_datetime(ask(pbx).headers["retry-after"]) - datetime.now(UTC)
    assert timedelta(seconds=25) < wait <= timedelta(seconds=31)


def test_the_tenant_is_not_found_within_a_200() -> None:
    """A code in the body of a 200 comes with its text."""
    with SimulatedPBX(account()) as pbx:
        pbx.fault("code", code=404)
        response = ask(pbx)
        assert (response.status_code, response.json()["code"]) == (200, 404)
        assert response.json()["message"] == {"status": "Tenant not found"}
        pbx.fault("code")
        assert ask(pbx).json()["message"] == {"status": "Unknown error"}


@pytest.mark.parametrize(("kind", "rings"), [("429", 0), ("401", 0), ("500", 1), ("reset", 1), ("hang", 1)])
def test_a_call_without_an_answer_may_have_rung(kind: str, rings: int) -> None:
    """A refused click-to-call rings nobody; one whose response is lost has rung."""
    with SimulatedPBX(account()) as pbx:
        pbx.fault(kind, seconds=0.05)
        url = f"{pbx.base_url}/api/integration/v1/call-to-number"
        try:
            code = httpx.post(url, data=NUMBERS, headers={"token": "main"}, trust_env=False, verify=NO_TLS).status_code
        except httpx.TransportError:
            code = 0
        assert code != 200
        assert len(pbx.rings) == rings


def test_redirect_followed_is_seen() -> None:
    """If a client follows a redirect, the arrivals show it."""
    with SimulatedPBX(account()) as pbx:
        pbx.fault("redirect")
        url = f"{pbx.base_url}/api/integration/v1/get-user-calls"
        httpx.get(url, headers={"token": "main"}, trust_env=False, verify=NO_TLS, follow_redirects=True)
        assert [(a.endpoint, a.status) for a in pbx.arrivals] == [("user_calls", 302), ("/moved", 404)]


def test_arrival_comes_before_latency() -> None:
    """A request counts from its arrival, however long its response takes; random latency differs each time."""
    path, spans = "/api/integration/v1/get-system-status", []
    with (
        SimulatedPBX(account(), latency_seconds=0.4) as pbx,
        httpx.Client(base_url=pbx.base_url, headers={"token": "main"}, trust_env=False) as client,
    ):
        for pbx.random_latency in (False, True, True, True, True):
            began = time.monotonic()
            client.get(path)
            spans.append(time.monotonic() - began)
            assert pbx.arrivals[-1].at - began < 0.3
    assert spans[0] >= 0.4
    assert max(spans[1:]) - min(spans[1:]) > 0.1


@pytest.mark.parametrize("kind", ["hang", "drip", "latency"])
def test_stops_at_once(kind: str) -> None:
    """Stopping closes hanging, dripping, waiting and idle connections and their threads within half a second."""
    before = set(threading.enumerate())
    failures: list[str] = []

    def ask_and_fail() -> None:
        try:
            ask(pbx)
        except httpx.TransportError as error:
            failures.append(type(error).__name__)

    with httpx.Client(headers={"token": "main"}, trust_env=False) as idle:
        with SimulatedPBX(account()) as pbx:
            assert idle.get(f"{pbx.base_url}/api/integration/v1/get-system-status").status_code == 200
            if kind == "latency":
                pbx.latency_seconds = 30
            else:
                pbx.fault(kind)
            asking = threading.Thread(target=ask_and_fail)
            asking.start()
            while len(pbx.arrivals) < 2:
                time.sleep(0.005)
            began = time.monotonic()
        assert time.monotonic() - began < 0.5
        asking.join()
        assert set(threading.enumerate()) == before
        assert kind == "latency" or len(failures) == 1
        with pytest.raises(httpx.ConnectError):
            idle.get(f"{pbx.base_url}/")


def test_a_connection_is_kept() -> None:
    """A client's requests share a connection; a request that is not HTTP ends its connection without a response."""
    with SimulatedPBX(account()) as pbx, httpx.Client(headers={"token": "main"}, trust_env=False) as client:
        url = f"{pbx.base_url}/api/integration/v1/get-system-status"
        ports = {client.get(url).extensions["network_stream"].get_extra_info("client_addr") for _ in range(3)}
        assert len(ports) == 1
        assert client.get(url, headers={"Connection": "close"}).status_code == 200
        with socket.create_connection(("127.0.0.1", httpx.URL(url).port or 0), timeout=5) as other:
            other.sendall(b"hello\r\n\r\n")
            assert other.recv(100) == b""


def test_faults_as_the_command_line_gives_them() -> None:
    """Faults can be read from texts, `after_request` sees each request, and a port that is taken is refused."""
    seen: list[Arrival] = []
    faults = ["503,times=always,endpoint=queue_calls", "429,after=1,retry_after=2.5,retry_form=seconds"]
    with SimulatedPBX(account(), after_request=seen.append) as pbx:
        for text in faults:
            pbx.add_fault(read_fault(text))
        answers = [ask(pbx), ask(pbx), ask(pbx, "get-queue-calls"), ask(pbx, "get-queue-calls")]
        assert [(a.endpoint, a.status) for a in seen] == [
            ("user_calls", 200),
            ("user_calls", 429),
            ("queue_calls", 503),
            ("queue_calls", 503),
        ]
        assert answers[1].headers["retry-after"] == "3"
        port = int(pbx.base_url.rpartition(":")[2])
        with pytest.raises(UsageError, match=f"Port {port} "), SimulatedPBX(account(), port=port):
            pass


@pytest.mark.parametrize(
    "text",
    ["boom", "rows", "503,sometimes=1", "503,after=soon", "503,endpoint=calls", "429,retry_form=x", "lists,every=0"],
)
def test_an_impossible_fault_is_refused(text: str) -> None:
    """An unknown fault, option or endpoint is refused."""
    with pytest.raises(UsageError):
        read_fault(text)


def test_unknown_and_equal_accounts_are_refused_and_all_kinds_are_read() -> None:
    """An unknown account and two accounts of one name are refused; every kind of fault can be read."""
    with pytest.raises(UsageError, match="main"):
        SimulatedPBX(account()).fault("503", account="nobody")
    with pytest.raises(UsageError, match="of its own"):
        SimulatedPBX(account(), account())
    assert [read_fault(kind) for kind in KINDS] == [Fault(kind) for kind in KINDS]
