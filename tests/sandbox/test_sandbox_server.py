"""The simulated PBX follows the article's API strictly, and its lists hold the calls that it was given."""

import ssl
from datetime import UTC, date, datetime, timedelta
from itertools import product
from typing import Any, get_args, get_type_hints

import httpx
import pyarrow as pa
import pytest

from pipelines.sandbox.account import Account
from pipelines.sandbox.responses import Style, WireRow
from pipelines.sandbox.server import SimulatedPBX
from pipelines.time_zones import read_zone

QUEUE, USER, RING_GROUP, STATUS = "get-queue-calls", "get-user-calls", "get-ringgroup-calls", "get-system-status"
CHOICES = {name: get_args(hint) for name, hint in get_type_hints(Style).items() if get_args(hint)}
NOON = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)  # in Sydney
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without loading certificate authorities a request takes 20 ms less


def ask(pbx: SimulatedPBX, path: str, key: str = "key", **parameters: Any) -> httpx.Response:
    """GET one path with a key."""
    return httpx.get(
        f"{pbx.base_url}/api/integration/v1/{path}",
        params=parameters or None,
        headers={"token": key},
        trust_env=False,
        verify=NO_TLS,
    )


def rows_of(pbx: SimulatedPBX, path: str = QUEUE, **parameters: Any) -> list[dict[str, Any]]:
    """The rows of one page, from the default envelope."""
    response = ask(pbx, path, **parameters)
    assert response.status_code == 200, response.text
    rows: list[dict[str, Any]] = response.json()["data"]
    return rows


def queue_call(start: datetime, **fields: object) -> WireRow:
    """A queue call answered after ten seconds that ends after sixty."""
    call: WireRow = {"queue_name": "Sales", "callerid": "+61491570006", "inbound_number": "+61255500100"}
    call |= {"call_start_at": start, "call_answered_at": start + timedelta(seconds=10)}
    call |= {"call_finished_at": start + timedelta(seconds=60), "answered_by_user_name": "Ann", "status": "answered"}
    return call | fields


def queue_account(*rows: WireRow, **options: Any) -> Account:
    """An account with these queue calls."""
    return Account("key", {"queue_calls": rows}, **options)


@pytest.mark.parametrize("envelope", CHOICES["envelope"])
def test_envelope(envelope: Any) -> None:
    """Each envelope has the rows, the code and the success text, or the error, in the vendor's places."""
    account = queue_account(queue_call(NOON), style=Style(envelope=envelope))
    with SimulatedPBX(account) as pbx:
        good, bad = ask(pbx, QUEUE).json(), ask(pbx, QUEUE, limit=0)
    text = "Parameters error: limit must be a whole number from 1 to 10000"
    rows = good if envelope == "bare" else good.pop("data")
    assert [row["queue_name"] for row in rows] == ["Sales"]
    assert bad.status_code == bad.json()["code"] == 400
    if envelope == "data":
        assert good == {"code": 200, "message": {"status": "success"}}
        assert bad.json() == {"code": 400, "data": [], "message": {"status": text}}
    elif envelope == "status":
        assert good == {"code": 200, "status": "success", "message": "Success"}
        assert bad.json() == {"code": 400, "data": [], "status": "error", "message": text}
    else:
        assert bad.json() == {"code": 400, "message": text}


@pytest.mark.parametrize(
    ("instants", "winter", "summer", "fraction"),
    [
        ("Z", "2026-07-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.250Z"),
        ("Z_millis", "2026-07-01T00:00:00.000Z", "2026-01-01T00:00:00.000Z", "2026-01-01T00:00:00.250Z"),
        ("offset", "2026-07-01T10:30:00+10:30", "2026-01-01T11:00:00+11:00", "2026-01-01T11:00:00.250+11:00"),
        ("naive", "2026-07-01T10:30:00", "2026-01-01T11:00:00", "2026-01-01T11:00:00.250"),
    ],
)
def test_instants(instants: Any, winter: str, summer: str, fraction: str) -> None:
    """Instants come in the chosen style, to the millisecond, also in a zone whose summer time is half an hour."""
    july, january = datetime(2026, 7, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
    starts = [july, january + timedelta(microseconds=250_900), january]
    style = Style(instants=instants, timezone="Australia/Lord_Howe")
    with SimulatedPBX(queue_account(*[queue_call(start) for start in starts], style=style)) as pbx:
        assert [row["call_start_at"] for row in rows_of(pbx)] == [winter, fraction, summer]
        assert pbx.records("queue_calls")[1]["call_start_at"] == january + timedelta(milliseconds=250)


def test_tables_and_dicts_give_equal_lists() -> None:
    """Rows given as a table and rows given as dicts, unsorted and with nulls, make the same list, newest first."""
    calls = [queue_call(NOON + timedelta(minutes=37 * i % 101)) for i in range(60)]
    calls[7] |= {"call_answered_at": None, "answered_by_user_name": None, "status": "abandoned"}
    table = pa.Table.from_pylist(calls)
    assert pa.types.is_timestamp(table.schema.field("call_start_at").type)
    accounts = Account("key", {"queue_calls": table}), Account("other", {"queue_calls": calls}, name="other")
    with SimulatedPBX(*accounts) as pbx:
        page = rows_of(pbx)
        assert page == ask(pbx, QUEUE, key="other").json()["data"]
        assert pbx.records("queue_calls") == pbx.records("queue_calls", "other")
    starts = [row["call_start_at"] for row in page]
    assert starts == sorted(starts, reverse=True)
    assert sorted(map(str, pbx.records("queue_calls"))) == sorted(map(str, calls))


def test_defaults_and_pages() -> None:
    """Without parameters the newest 100 rows come; limit and offset cut the list without a gap; '' is any time."""
    account = queue_account(*[queue_call(NOON + timedelta(seconds=i), queue_name=f"Q{i}") for i in range(250)])
    with SimulatedPBX(account) as pbx:
        names = [row["queue_name"] for offset in (0, 90, 180) for row in rows_of(pbx, limit=90, offset=offset)]
        assert names == [f"Q{i}" for i in reversed(range(250))]
        assert [row["queue_name"] for row in rows_of(pbx, from_date="", to_date="")] == names[:100]
        assert rows_of(pbx, offset=250) == []
        assert rows_of(pbx, USER) == rows_of(pbx, RING_GROUP) == []


@pytest.mark.parametrize("timezone", ["Australia/Sydney", "America/Havana"])
@pytest.mark.parametrize(("day_filter", "to_date"), list(product(CHOICES["day_filter"], CHOICES["to_date"])))
def test_day_filter(day_filter: Any, to_date: Any, timezone: str) -> None:
    """Days begin at the style's midnight, also where clocks change, and to_date is included or excluded."""
    zone = read_zone(timezone) if day_filter == "local" else UTC
    before_changes = [datetime(2026, *day, tzinfo=UTC) for day in ((3, 6), (4, 3), (10, 2), (10, 30))]
    starts = [before + timedelta(minutes=30 * i) for before in before_changes for i in range(200)]
    style = Style(day_filter=day_filter, to_date=to_date, timezone=timezone, instants="Z")
    with SimulatedPBX(queue_account(*map(queue_call, starts), style=style)) as pbx:
        for first, last in [(date(2026, 3, 8), date(2026, 11, 1)), (date(2026, 4, 5), date(2026, 10, 4))]:
            page = rows_of(pbx, from_date=first, to_date=last, limit=1000)
            days = {start: start.astimezone(zone).date() for start in starts}
            end = last + timedelta(days=to_date == "inclusive")
            expected = {start for start, day in days.items() if first <= day < end}
            assert {datetime.fromisoformat(row["call_start_at"]) for row in page} == expected
            assert len(page) == len(expected)


@pytest.mark.parametrize("as_table", [True, False])
def test_names_filter(as_table: bool) -> None:
    """A names filter takes several names, also in Unicode, matches whole names, and cannot express a comma."""
    names = ["Sales", "Vertrieb für Ä", "Sales, East", None, "Sales"]
    calls = [queue_call(NOON, queue_name=name, user_name=name, ring_group_name=name) for name in names]
    rows = pa.Table.from_pylist(calls) if as_table else calls
    tables = {"queue_calls": rows, "user_calls": rows, "ringgroup_calls": rows}
    filters = {QUEUE: "queues_names", USER: "users_names", RING_GROUP: "ringgroups_names"}
    with SimulatedPBX(Account("key", tables)) as pbx:
        for path, name in filters.items():
            page = rows_of(pbx, path, **{name: "Vertrieb für Ä,Sales,East"})
            assert [row["queue_name"] for row in page] == ["Sales", "Vertrieb für Ä", "Sales"]
            assert rows_of(pbx, path, **{name: "sales"}) == []
            assert len(rows_of(pbx, path, **{name: ""})) == 5
        assert ask(pbx, QUEUE, users_names="Sales").status_code == 400


REFUSED_QUERIES = """
    limit=0 limit=10001 limit=ten limit= limit=1.0 limit=%2B5 limit=%D9%A3 limit=5&limit=5 offset=-1 offset=x
    from_date=2026-1-05 from_date=2026-02-30 from_date=05/01/2026 to_date=2026-01-05T00:00:00 to_date=20260105
    from_date=2026-01-06&to_date=2026-01-05 page=2 api_key=key sort_by=newest_first
"""


@pytest.mark.parametrize("query", REFUSED_QUERIES.split())
def test_strict_parameters(query: str) -> None:
    """A parameter that the article does not allow is refused, and so is the deprecated api_key."""
    with SimulatedPBX(queue_account(queue_call(NOON))) as pbx:
        response = ask(pbx, f"{QUEUE}?{query}")
    assert response.status_code == response.json()["code"] == 400


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/integration/v1/get-queue-call", 404),
        ("GET", "/api/integration/v2/get-queue-calls", 404),
        ("GET", "/", 404),
        ("POST", "/api/integration/v1/get-queue-calls", 405),
        ("GET", "/api/integration/v1/call-to-number", 405),
        ("GET", "/api/integration/v1/get-system-status?limit=1", 400),
    ],
)
def test_strict_paths(method: str, path: str, status: int) -> None:
    """An unknown path, a wrong method, or a parameter that the path does not take is refused with its code."""
    with SimulatedPBX(Account("key")) as pbx:
        response = httpx.request(method, pbx.base_url + path, headers={"token": "key"}, trust_env=False, verify=NO_TLS)
    assert response.status_code == response.json()["code"] == status


def test_a_bad_key_and_a_bad_address_look_alike() -> None:
    """No key, an unknown key, and an address that is not whitelisted get the same 401; no key is stored."""
    with SimulatedPBX(queue_account(queue_call(NOON)), Account("second", name="second", whitelisted=False)) as pbx:
        none = httpx.get(f"{pbx.base_url}/api/integration/v1/{QUEUE}", trust_env=False, verify=NO_TLS)
        refused = [none, ask(pbx, QUEUE, key="wrong"), ask(pbx, QUEUE, key="second")]
        assert {response.status_code for response in refused} == {401}
        assert len({response.content for response in refused}) == 1
        assert "wrong" not in repr(pbx.arrivals)
        pbx.accounts["second"].whitelisted = True
        assert ask(pbx, QUEUE, key="second").json()["data"] == []
    assert [a.account for a in pbx.arrivals[2:]] == ["second", "second"]


def test_the_deprecated_key_parameter_is_refused_whatever_else() -> None:
    """`api_key` in the query or in a form is refused with 400, even if the request would get 401 without it."""
    with SimulatedPBX(Account("key")) as pbx:
        fields = {"user_number": "101", "number_to_call": "+61491570006", "api_key": "key"}
        url = f"{pbx.base_url}/api/integration/v1/call-to-number"
        posts = [
            httpx.post(url, data=fields, headers={"token": key}, verify=NO_TLS, trust_env=False) for key in ("key", "")
        ]
        for response in (ask(pbx, QUEUE, api_key="key"), ask(pbx, STATUS, key="wrong", api_key="key"), *posts):
            assert response.status_code == 400
            assert "api_key is no longer taken" in response.json()["message"]["status"]
        assert pbx.rings == []


def test_system_status() -> None:
    """The status is the account's `system_status`, whatever that is."""
    with SimulatedPBX(Account("key", system_status={"status": "degraded", "since": [1]})) as pbx:
        assert ask(pbx, STATUS).json()["data"] == {"status": "degraded", "since": [1]}
        pbx.accounts["main"].system_status = None
        assert ask(pbx, STATUS).json()["data"] is None


def dial(pbx: SimulatedPBX, **sent: Any) -> int:
    """POST a click-to-call; return the status."""
    url = f"{pbx.base_url}/api/integration/v1/call-to-number"
    return httpx.post(url, headers={"token": "key"}, trust_env=False, verify=NO_TLS, **sent).status_code


def test_click_to_call() -> None:
    """Both kinds of form ring. A missing or extra field, numbers in the query, or a missing licence do not."""
    numbers = {"user_number": "101", "number_to_call": "+61491570006"}
    multipart = {name: (None, number) for name, number in numbers.items()}
    with SimulatedPBX(Account("key")) as pbx:
        assert [dial(pbx, data=numbers), dial(pbx, files=multipart)] == [200, 200]
        assert pbx.rings == [("main", "101", "+61491570006")] * 2
        assert dial(pbx, data={"user_number": "101"}) == 400
        assert dial(pbx, data=numbers | {"number_to_call": ""}) == 400
        assert dial(pbx, data=numbers | {"delay": "1"}) == 400
        assert dial(pbx, files=multipart | {"api_key": (None, "key")}) == 400
        assert dial(pbx, json=numbers) == 400
        assert dial(pbx, data=numbers, params=numbers) == 400
        pbx.accounts["main"].licensed = False
        assert dial(pbx, data=numbers) == 402
        assert len(pbx.rings) == 2


def test_budget_by_arrival() -> None:
    """Arrivals, also refused ones, count in a sliding window per account, and Retry-After says when it has room."""
    now = [1000.0]
    accounts = queue_account(requests=3, window_seconds=60), Account("other", name="other")
    with SimulatedPBX(*accounts, monotonic=lambda: now[0]) as pbx:
        seen = []
        for now[0] in (1000, 1030, 1058, 1059, 1089, 1120):
            seen.append(ask(pbx, QUEUE).status_code)
        # At 1089 the last minute holds 1030, 1058 and the refused 1059; at 1120 it holds only 1089.
        assert seen == [200, 200, 200, 429, 429, 200]
        assert ask(pbx, QUEUE, key="other").status_code == 200
        assert [pbx.most_in_window(seconds, "main") for seconds in (29, 30, 60)] == [2, 3, 4]
        assert (pbx.most_in_window(1), pbx.most_in_window(1, "other")) == (2, 1)
        pbx.spend(1)
        assert "retry-after" not in ask(pbx, QUEUE).headers
        now[0] += 1
        pbx.accounts["main"].retry_form = "seconds"
        assert ask(pbx, QUEUE).headers["retry-after"] == "59"
        pbx.accounts["main"].retry_form = "date"
        assert ask(pbx, QUEUE).headers["retry-after"].endswith("GMT")


def test_default_budget_is_the_vendors() -> None:
    """The 101st request within 15 minutes is refused; one after them is not."""
    now = [0.0]
    with (
        SimulatedPBX(Account("key"), monotonic=lambda: now[0]) as pbx,
        httpx.Client(base_url=pbx.base_url, headers={"token": "key"}, trust_env=False) as client,
    ):
        codes = [client.get("/api/integration/v1/get-system-status").status_code for _ in range(101)]
        now[0] = 900.0
        assert client.get("/api/integration/v1/get-system-status").status_code == 200
    assert codes == [200] * 100 + [429]
