"""The simulated PBX's lists: they move between pages, calls go on, rows come late, and a million rows fit."""

import ssl
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import psutil
import pyarrow as pa
import pytest

from pipelines.sandbox.account import Account
from pipelines.sandbox.clock import running_clock, scatter
from pipelines.sandbox.request_log import Arrival
from pipelines.sandbox.responses import Style, WireRow
from pipelines.sandbox.server import SimulatedPBX

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without loading certificate authorities a request takes 20 ms less


def rows_of(pbx: SimulatedPBX, path: str = "get-queue-calls", **parameters: Any) -> list[dict[str, Any]]:
    """The rows of one page."""
    url = f"{pbx.base_url}/api/integration/v1/{path}"
    response = httpx.get(url, params=parameters, headers={"token": "key"}, trust_env=False, verify=NO_TLS)
    assert response.status_code == 200, response.text
    rows: list[dict[str, Any]] = response.json()["data"]
    return rows


def names_of(pbx: SimulatedPBX, **parameters: Any) -> list[str]:
    """The names on one page of queue calls, newest first."""
    return [row["queue_name"] for row in rows_of(pbx, **parameters)]


def call(name: str, second: float, **fields: object) -> WireRow:
    """A queue call that starts `second` seconds after noon, is answered after 10 seconds and ends after 60."""
    start = NOON + second * SECOND
    instants = {
        "call_start_at": start,
        "call_answered_at": start + 10 * SECOND,
        "call_finished_at": start + 60 * SECOND,
    }
    return {"queue_name": name, **instants, "answered_by_user_name": "Ann", "status": "answered", **fields}


@pytest.mark.parametrize("as_table", [True, False])
def test_change_between_pages(as_table: bool) -> None:
    """A change of the list after one page is made shows in the next page."""
    rows = [call(name, second) for second, name in enumerate("abcdef")]

    def change(arrival: Arrival) -> None:
        if arrival.parameters.get("offset") == "0":
            pbx.insert("queue_calls", call("h", 9), call("i", 10), call("between", 4), call("g", 0.5))
            pbx.remove("queue_calls", 8, 9)
            pbx.replace("queue_calls", 2, call("F", 5, status="abandoned"))
            pbx.replace("queue_calls", 5, call("moved", 8))

    with SimulatedPBX(Account("key", {"queue_calls": pa.Table.from_pylist(rows) if as_table else rows})) as pbx:
        pbx.after_request = change
        assert names_of(pbx, limit=2, offset=0) == ["f", "e"]
        assert names_of(pbx, limit=100, offset=1) == ["h", "moved", "F", "between", "e", "c", "b"]
        assert pbx.records("queue_calls")[0]["queue_name"] == "i"
        assert pbx.records("queue_calls")[3]["status"] == "abandoned"
        pbx.duplicate("queue_calls", every=4)
        assert names_of(pbx) == ["i", "i", "h", "moved", "F", "between", "between", "e", "c", "b"]


def test_ties_come_in_any_order() -> None:
    """With shuffled ties only the rows of one second change places between requests."""
    rows = [call(f"{second}.{number}", second + number / 100) for second in range(20) for number in range(30)]
    with SimulatedPBX(Account("key", {"queue_calls": rows}, shuffle_ties=True)) as pbx:
        pages = [names_of(pbx, limit=100, offset=45) for _ in range(3)]
        whole = names_of(pbx, limit=1000)
    assert len({tuple(page) for page in pages}) == 3
    assert (
        len({frozenset(page[:15]) for page in pages}) == 3
    )  # the page cuts a second, so it holds any of that second's rows
    seconds = [name.split(".")[0] for name in whole]
    for page in pages:
        assert [name.split(".")[0] for name in page] == seconds[45:145]
        assert len(set(page)) == 100
    assert Counter(whole) == Counter(str(row["queue_name"]) for row in rows)


def test_rows_without_a_readable_start_stay_where_they_are() -> None:
    """A row without a readable start is sent unchanged, after the row before it and with that row's day."""
    bad = {"call_start_at": "soon", "queue_name": 7}
    rows = [call("b", 86_400), bad, call("a", 0)]
    table = pa.Table.from_pylist(
        [row | {"call_start_at": None, "queue_name": "7"} if row is bad else row for row in rows]
    )
    accounts = Account("key", {"queue_calls": rows, "ringgroup_calls": table})
    with SimulatedPBX(accounts) as pbx:
        assert rows_of(pbx)[1] == bad
        assert names_of(pbx, from_date="2026-03-03", limit=2) == ["b", 7]
        assert [row["call_start_at"] for row in rows_of(pbx, "get-ringgroup-calls", from_date="2026-03-03")][1:] == [
            None
        ]


@pytest.mark.parametrize("as_table", [True, False])
def test_queue_call_in_progress(as_table: bool) -> None:
    """With a clock, a queue call appears at its start, and its answer and its end appear when they happen."""
    now = [NOON - SECOND]
    rows = [call("a", 0), call("old", -500)]
    tables = {"queue_calls": pa.Table.from_pylist(rows) if as_table else rows}
    with SimulatedPBX(Account("key", tables), clock=lambda: now[0]) as pbx:
        assert names_of(pbx) == ["old"]
        seen = []
        for second in (0, 10, 59, 60):
            now[0] = NOON + second * SECOND
            row, old = rows_of(pbx)
            assert old["status"] == "answered"
            assert [row["call_finished_at"] is None, row["status"]] == [
                second < 60,
                None if second < 60 else "answered",
            ]
            assert (row["call_answered_at"] is None) == (row["answered_by_user_name"] is None)
            seen.append(row["call_answered_at"])
        assert seen == [None] + ["2026-03-02T12:00:10.000Z"] * 3
        assert pbx.records("queue_calls", at=NOON)[0]["status"] is None
        assert pbx.records("queue_calls")[0] == rows[0]


def test_user_call_in_progress() -> None:
    """An unfinished user call has no end, and its durations are those so far."""
    start = NOON + 5 * SECOND
    row = {"user_name": "Ann", "call_start_at": start, "call_finished_at": start + 60 * SECOND}
    row |= {"call_duration": 60, "conversation_duration": 40}
    now = [start]
    with SimulatedPBX(Account("key", {"user_calls": [row]}), clock=lambda: now[0]) as pbx:
        seen = []
        for second in (0, 15, 30, 60):
            now[0] = start + second * SECOND
            page = rows_of(pbx, "get-user-calls")[0]
            seen.append((page["call_duration"], page["conversation_duration"], page["call_finished_at"] is None))
    assert seen == [(0, 0, True), (15, 0, True), (30, 10, True), (60, 40, False)]


@pytest.mark.parametrize("as_table", [True, False])
def test_late_and_vanishing(as_table: bool) -> None:
    """A late row appears and a vanishing row disappears in time, and neither instant is sent."""
    rows = [call("late", 2), call("gone", 1), call("plain", 0)]
    rows[0]["_appears_at"], rows[1]["_vanishes_at"] = NOON + 50 * SECOND, NOON + 30 * SECOND
    now = [NOON + 10 * SECOND]
    table = pa.Table.from_pylist([{"_appears_at": None, "_vanishes_at": None} | row for row in rows])
    with SimulatedPBX(Account("key", {"queue_calls": table if as_table else rows}), clock=lambda: now[0]) as pbx:
        assert names_of(pbx) == ["gone", "plain"]
        now[0] = NOON + 30 * SECOND
        assert names_of(pbx) == ["plain"]
        now[0] = NOON + 50 * SECOND
        assert names_of(pbx) == ["late", "plain"]
        assert not [name for row in rows_of(pbx) for name in row if name.startswith("_")]


def test_scattered_rows() -> None:
    """`scatter` makes about the given shares of rows late and vanishing, reproducibly."""
    table = pa.Table.from_pylist([call("a", second) for second in range(2000)])
    moved = scatter(table, late=0.1, vanishing=0.2, within_seconds=100)
    late = np.count_nonzero(moved["_appears_at"].to_numpy() > moved["call_start_at"].to_numpy())
    assert 150 < late < 250
    assert 340 < len(moved) - moved["_vanishes_at"].null_count < 460
    assert moved.equals(scatter(table, late=0.1, vanishing=0.2, within_seconds=100))


def test_running_clock() -> None:
    """A fast clock starts at the given instant and runs `speed` times as fast."""
    wall = [100.0]
    clock = running_clock(NOON, speed=60, monotonic=lambda: wall[0])
    assert clock() == NOON
    wall[0] = 102.5
    assert clock() == NOON + 150 * SECOND


def test_a_million_rows() -> None:
    """With a million rows per endpoint, a page of 10,000 costs under 50 ms, and three such lists fit in 1.5 GB.

    The limit is for the processor time of client and server together, which on an idle machine is the wall time.
    """
    memory_before = psutil.Process().memory_info().rss
    tables = {name: big_table(1_000_000, name) for name in ("user_calls", "queue_calls", "ringgroup_calls")}
    ranges = {"get-user-calls": "", "get-queue-calls": "", "get-ringgroup-calls": "2019-01-01"}
    with (
        SimulatedPBX(Account("key", tables, Style(instants="offset"))) as pbx,
        httpx.Client(base_url=pbx.base_url, headers={"token": "key"}, trust_env=False) as client,
    ):
        for path, day in ranges.items():
            pages = [fetch_timed(client, path, page, day) for page in range(8)]
            work, wall = (min(milliseconds) for milliseconds in zip(*pages, strict=True))
            sys.stdout.write(f"{path} {day}: {work:.0f} ms of processor time, {wall:.0f} ms of wall time per page\n")
            assert work < 50
    grown = (psutil.Process().memory_info().rss - memory_before) / 2**20
    sys.stdout.write(f"three lists of a million rows: {grown:.0f} MiB\n")
    assert grown < 1500


def fetch_timed(client: httpx.Client, path: str, page: int, day: str) -> tuple[float, float]:
    """Milliseconds of processor time and of wall time for one page of 10,000."""
    query = {"limit": "10000", "offset": f"{page}0000", "from_date": day, "to_date": day and "2020-08-01"}
    work, wall = time.process_time(), time.perf_counter()
    response = client.get(f"/api/integration/v1/{path}", params=query)
    work, wall = time.process_time() - work, time.perf_counter() - wall
    assert response.content.count(b"call_start_at") == 10_000
    return work * 1000, wall * 1000


def big_table(size: int, endpoint: str) -> pa.Table:
    """`size` calls, half a minute apart."""
    random = np.random.default_rng(1)
    starts = 1_600_000_000 - 30 * np.arange(size)

    def instants(seconds: int) -> pa.Array:
        return pa.array((starts + seconds) * 1_000_000, pa.timestamp("us", "UTC"))

    def texts(values: list[str]) -> pa.Array:
        return pa.array(values).take(pa.array(random.integers(0, len(values), size)))

    numbers = [f"+6125550{number:04}" for number in range(10_000)]
    columns = {"callerid": texts(numbers), "inbound_number": texts(numbers[:20]), "call_start_at": instants(0)}
    columns |= {"call_answered_at": instants(15), "call_finished_at": instants(200)}
    if endpoint == "user_calls":
        return pa.table({**columns, "call_duration": pa.array(starts % 100), "is_inbound": pa.array(starts % 2)})
    name = {"queue_calls": "queue_name", "ringgroup_calls": "ring_group_name"}[endpoint]
    return pa.table({name: texts(["Sales", "Support"]), **columns, "status": texts(["answered", "abandoned"])})
