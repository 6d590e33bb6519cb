"""Every record that cannot be read is kept once, whole and with its reason: in its day among the rejected, or, if it
has no start, among the unplaced. The rest loads."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest

from pipelines.sandbox.account import Account
from pipelines.sandbox.faults import ROW_FAULTS
from pipelines.sandbox.responses import ENDPOINTS as PATHS
from pipelines.sandbox.responses import Style, WireRow
from pipelines.voipcloud.coverage import DAY, DateRange
from pipelines.voipcloud.schemas import ENDPOINTS
from tests.support.site import (
    Site,
    as_stored,
    as_told,
    assert_days,
    assert_truth,
    queue_call,
    queue_table,
    ringgroup_call,
    user_call,
)

MakeSite = Callable[..., Site]
FIRST = datetime(2026, 5, 3, tzinfo=UTC)
EVERYTHING = DateRange(None, None)
REJECTING = {"no_start", "garbage_start", "lists", "not_objects"}


def calls() -> dict[str, list[WireRow]]:
    """Three days of calls at every endpoint, each at a second of its own."""
    starts = [FIRST + timedelta(minutes=37 * n) for n in range(110)]
    return {
        "user_calls": [user_call(start, 30 + n, is_inbound=n % 2) for n, start in enumerate(starts)],
        "queue_calls": [queue_call(start, callerid=f"+6125550{n:04}") for n, start in enumerate(starts)],
        "ringgroup_calls": [ringgroup_call(start, callerid=f"+6125550{n:04}") for n, start in enumerate(starts)],
    }


def wire(site: Site, endpoint: str) -> list[Any]:
    """An endpoint's records as the PBX sends them, faults among them, in the order of `pbx.records`."""
    url = f"{site.pbx.base_url}/api/integration/v1/{PATHS[endpoint].path}"
    answer = httpx.get(url, params={"limit": 10_000}, headers={"token": "key"}, trust_env=False)
    records: list[Any] = answer.json()["data"]
    return records


def assert_split(site: Site, changed: Callable[[object], bool]) -> int:
    """What is `changed` on the wire has no start, and stands among the unplaced as often as it is there; the rest
    stands in its table; how many there are."""
    raw = site.raw()
    for endpoint in ENDPOINTS:
        pairs = list(zip(site.pbx.records(endpoint), wire(site, endpoint), strict=True))
        good = [row for row, sent in pairs if not changed(sent)]
        bad = Counter(orjson.dumps(sent).decode() for _, sent in pairs if changed(sent))
        assert as_stored(endpoint, raw[endpoint]) == as_told(endpoint, good)
        assert unplaced(site, endpoint) == bad
    assert all(row["reason"] and "+" not in row["reason"] for row in raw["unplaced_records"])
    assert raw["rejected_records"] == []
    assert_days(raw)
    return sum(unplaced(site, endpoint).total() for endpoint in ENDPOINTS)


def unplaced(site: Site, endpoint: str = "queue_calls") -> Counter[str]:
    """The records without a start that the list's last whole read saw, as often as it did."""
    raw = site.raw()
    (read_at,) = (row["whole_read_at"] for row in raw["lists"] if row["endpoint"] == endpoint)
    seen = [row for row in raw["unplaced_records"] if row["endpoint"] == endpoint and row["last_seen_at"] >= read_at]
    return Counter({row["record"]: row["copies_count"] for row in seen})


def is_unreadable(record: object) -> bool:
    """Whether a row fault that rejects has made this."""
    return not isinstance(record, dict) or not str(record["call_start_at"]).startswith("2026-05")


@pytest.mark.parametrize(("kind", "instants"), list(zip(ROW_FAULTS, ["naive", "offset"] * 4, strict=True)))
def test_every_row_fault(make_site: MakeSite, kind: str, instants: Any) -> None:
    """Of every kind of bad record, one in four: all kept apart, or all taken if nothing is lost by it; the same after a
    second load; and once the PBX has mended them, all are where they belong and none counts as unplaced."""
    site = make_site(Account("key", calls(), Style(instants=instants)))
    site.pbx.fault(kind, times=None, every=4)
    assert site.load().error is None
    found = assert_split(site, is_unreadable)
    assert found > 50 if kind in REJECTING else found == 0
    if kind == "unknown_fields":
        extra = {row["extra"] for row in site.raw()["queue_calls"]}
        assert extra == {None, '{"unique_call_id":null,"recording":{"kept":true}}'}

    assert site.load(again=EVERYTHING).error is None
    assert assert_split(site, is_unreadable) == found
    site.pbx.faults.clear()
    assert site.load(again=EVERYTHING).error is None
    assert_truth(site)
    assert assert_split(site, is_unreadable) == 0


def test_bad_records_at_the_edges_of_pages(make_site: MakeSite) -> None:
    """Records without a start, one in three of several pages and packages, are each kept once, and no good one beside
    them is lost or doubled."""
    table = queue_table([FIRST + timedelta(seconds=15 * n) for n in range(21_000)])
    site = make_site(Account("key", {"queue_calls": table}), settings={"package_pages": "1"})
    site.pbx.fault("no_start", times=None, every=3, endpoint="queue_calls")
    loaded = site.load()
    assert loaded.error is None
    raw = site.raw()
    truth = as_told("queue_calls", site.pbx.records("queue_calls"))
    stored = as_stored("queue_calls", raw["queue_calls"])
    assert not stored - truth
    missing = Counter(str(call[1]) for call in (truth - stored).elements())
    found = Counter({orjson.loads(record)["callerid"]: 0 for record in unplaced(site)})
    for record, number in unplaced(site).items():
        found[orjson.loads(record)["callerid"]] += number
    assert found == missing
    assert loaded.unplaced == unplaced(site).total() == 21_000 - stored.total() > 6000
    assert_days(raw)


def test_a_day_of_nothing_else(make_site: MakeSite) -> None:
    """A day whose every record is bad has no calls and keeps its rejected ones, until it is mended or allowed to go."""
    site = make_site(Account("key", {"queue_calls": [queue_call(FIRST + n * DAY) for n in range(4)]}))
    bad = {"queue_name": None}
    site.pbx.replace("queue_calls", 2, queue_call(FIRST + DAY, **bad))
    for _ in range(2):
        assert site.load(again=EVERYTHING).error is None
        raw = site.raw()
        assert [row["call_day"] for row in raw["rejected_records"]] == [date(2026, 5, 4)]
        assert [row["reason"] for row in raw["rejected_records"]] == ["queue_name is missing"]
        assert len(raw["queue_calls"]) == 3
        assert_days(raw)

    site.pbx.remove("queue_calls", 2)
    assert len(site.load(again=EVERYTHING).warnings) == 1
    assert len(site.raw()["rejected_records"]) == 1
    assert site.load(again=EVERYTHING, allow_shrink=True).error is None
    assert site.raw()["rejected_records"] == []
    assert_truth(site)


def test_a_call_that_goes_bad(make_site: MakeSite) -> None:
    """A day's only call that can no longer be read leaves its table for the rejected, and comes back when it can."""
    site = make_site(Account("key", {"queue_calls": [queue_call(FIRST), queue_call(FIRST + 2 * DAY)]}))
    again = DateRange(FIRST.date(), FIRST.date() + DAY)
    for status, calls_count in (("answered", 2), (["answered"], 1), ("abandoned", 2)):
        site.pbx.replace("queue_calls", 1, queue_call(FIRST, status=status))
        assert site.load(again=again if site.warehouse.exists() else None).error is None
        raw = site.raw()
        assert len(raw["queue_calls"]) == calls_count
        assert len(raw["rejected_records"]) == 2 - calls_count
        assert_days(raw)
    assert_truth(site)


def test_a_record_without_a_start_after_days_without_calls(make_site: MakeSite) -> None:
    """A record without a start that is the first after a weekend is kept though the call below it lies in a day that is
    settled, and costs no request more."""
    friday, monday = FIRST, FIRST + timedelta(days=3, hours=9)
    site = make_site(Account("key", {"queue_calls": [queue_call(friday + timedelta(hours=n)) for n in (1, 2)]}))
    site.pbx.fault("rows", times=None, mutate_rows=without_starts, endpoint="queue_calls")
    clock = (monday - timedelta(hours=3)).timestamp
    assert site.load(clock=clock).error is None
    site.pbx.insert("queue_calls", queue_call(monday, queue_name="no start"))
    site.pbx.insert("queue_calls", queue_call(monday + timedelta(hours=1)))
    first_seen = set()
    for hours in (12, 36):
        now = monday + timedelta(hours=hours)
        before = site.asked("queue_calls")
        assert site.load(clock=now.timestamp).error is None
        assert site.asked("queue_calls") - before == 1
        (row,) = site.raw()["unplaced_records"]
        assert (row["copies_count"], row["last_seen_at"]) == (1, now)
        first_seen.add(row["first_seen_at"])
        assert_days(site.raw())
    assert first_seen == {monday + timedelta(hours=12)}


def test_no_record_has_a_start(make_site: MakeSite) -> None:
    """A whole list without one start is kept, with a warning and nothing counted as a call, and again each night; once
    it is mended, none of it counts as unplaced."""
    site = make_site(Account("key", calls() | {"queue_calls": [queue_call(FIRST, queue_name="no start")] * 2}))
    site.pbx.fault("rows", times=None, mutate_rows=without_starts, endpoint="queue_calls")
    ran = site.run("load")
    assert ran.code == 0
    assert "queue_calls: none of 2 records can be read: call_start_at is missing." in " ".join(ran.err.split())
    for again in (None, EVERYTHING, None):
        (row,) = site.raw()["unplaced_records"]
        assert (row["reason"], row["copies_count"]) == ("call_start_at is missing", 2)
        assert orjson.loads(row["record"])["queue_name"] == "no start"
        assert site.stored("queue_calls").total() == 0
        assert_days(site.raw())
        status = orjson.loads(site.run("status", "--json").out)["accounts"][0]["endpoints"]["queue_calls"]
        assert (status["calls"], status["newest_call_at"]) == (0, None)
        loaded = site.load(again=again)
        assert (loaded.error, loaded.unplaced) == (None, 2 if again else 0)  # a night asks for the newest days only

    site.pbx.faults.clear()
    loaded = site.load(again=EVERYTHING)
    assert (loaded.warnings, loaded.unplaced) == ([], 0)
    assert unplaced(site).total() == 0
    assert_truth(site)


@pytest.mark.parametrize("hours", [5, 22])
def test_a_record_without_a_start_alone_for_nights(make_site: MakeSite, hours: int) -> None:
    """A record without a start that is alone in what a night asks for stands there once for good, counts for as long as
    it is listed there, costs no request, and holds back no call that comes in after it."""
    site = make_site(Account("key", {"queue_calls": [queue_call(FIRST)]}))
    site.pbx.fault("rows", times=None, mutate_rows=without_starts, endpoint="queue_calls")
    night = FIRST + timedelta(days=8, hours=2)
    assert site.load(clock=night.timestamp).error is None
    site.pbx.insert("queue_calls", queue_call(night + timedelta(hours=hours), queue_name="no start"))
    counts = []
    for number in range(1, 12):
        now = night + number * DAY
        if number in (6, 7, 9):
            site.pbx.insert("queue_calls", queue_call(now - timedelta(hours=3)))
        before = site.asked("queue_calls")
        loaded = site.load(clock=now.timestamp)
        assert (loaded.error, site.asked("queue_calls") - before) == (None, 1)
        assert not any("fewer" in warning for warning in loaded.warnings)
        assert [row["copies_count"] for row in site.raw()["unplaced_records"]] == [1]
        counts.append(unplaced(site).total())
        assert site.stored("queue_calls").total() == 1 + sum(number >= came for came in (6, 7, 9))
        assert_days(site.raw())
    assert counts[0] == 1
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 0


def test_a_call_that_loses_its_start(make_site: MakeSite) -> None:
    """A call stored with its start, which the PBX lists without one now, stays: its day is left as it is, with a
    warning, until the PBX has mended it."""
    rows = [queue_call(FIRST + timedelta(hours=hour)) for hour in (11, 10, 9)]
    site = make_site(Account("key", {"queue_calls": rows}))
    site.pbx.fault("rows", times=None, mutate_rows=without_starts, endpoint="queue_calls")
    assert site.load(clock=(FIRST + DAY).timestamp).error is None
    site.pbx.replace("queue_calls", 1, queue_call(FIRST + timedelta(hours=10), queue_name="no start"))
    kept = site.load(clock=(FIRST + 2 * DAY).timestamp)
    assert kept.error is None
    assert ["fewer than are stored" in warning for warning in kept.warnings] == [True, False]
    assert "records without a start" in kept.warnings[1]
    assert (site.stored("queue_calls").total(), unplaced(site).total()) == (3, 1)
    assert_days(site.raw())
    site.pbx.faults.clear()
    mended = site.load(clock=(FIRST + 3 * DAY).timestamp)
    assert (mended.error, mended.warnings) == (None, [])
    assert_truth(site)
    assert unplaced(site).total() == 0


def test_the_last_of_a_day_without_a_start(make_site: MakeSite) -> None:
    """A record without a start between the calls of two days is kept once, also if the day below has settled, or only
    the day above is asked for."""
    rows = [queue_call(FIRST + timedelta(hours=9)), queue_call(FIRST + timedelta(hours=22), queue_name="no start")]
    site = make_site(Account("key", {"queue_calls": rows}))
    site.pbx.fault("rows", times=None, mutate_rows=without_starts, endpoint="queue_calls")
    for number in range(1, 7):
        now = FIRST + number * DAY
        site.pbx.insert("queue_calls", queue_call(now + timedelta(hours=1)))
        assert site.load(clock=(now + timedelta(hours=2)).timestamp).error is None
        assert [row["copies_count"] for row in site.raw()["unplaced_records"]] == [1]
    assert site.load(again=DateRange(FIRST.date() + DAY, None)).error is None
    assert [row["copies_count"] for row in site.raw()["unplaced_records"]] == [1]
    assert_days(site.raw())


def without_starts(rows: list[Any]) -> list[Any]:
    """Takes their starts from the records of one queue."""
    return [row | {"call_start_at": None} if row["queue_name"] == "no start" else row for row in rows]


def test_a_list_in_another_order(make_site: MakeSite) -> None:
    """A list that comes oldest first is refused as a whole, and no day of it settles; the other lists are loaded."""
    site = make_site(Account("key", calls()))
    site.pbx.fault("rows", times=None, mutate_rows=lambda rows: rows[::-1], endpoint="user_calls")
    ran = site.run("load")
    assert ran.code == 65
    assert "not in order, newest first" in " ".join(ran.err.split())
    assert site.stored("user_calls").total() == 0
    for endpoint in ("queue_calls", "ringgroup_calls"):
        assert site.stored(endpoint) == as_told(endpoint, site.pbx.records(endpoint))
    site.pbx.faults.clear()
    assert site.run("load").code == 0
    assert_truth(site)


BAD: tuple[tuple[str, object], ...] = (
    ("call_start_at", "0001-01-01T00:00:00"),
    ("call_start_at", "0000-00-00 00:00:00"),
    ("call_start_at", "1970-01-01T00:00:00Z"),
    ("call_start_at", "9999-12-31T23:59:59Z"),
    ("call_start_at", "2026-05-32T00:00:00"),
    ("call_start_at", "2026-05-05"),
    ("call_start_at", 1_777_777_777),
    ("call_start_at", ""),
    ("call_start_at", None),
    ("call_answered_at", "2026-05-05T25:00:00"),
    ("call_finished_at", "2026-05-01T10:00:00Z"),  # before its start
    ("call_finished_at", False),
    ("status", {"code": 1}),
    ("queue_name", None),
    ("inbound_number", 1.5),
    ("callerid", "+6125550\0"),
)


@pytest.mark.parametrize("instants", ["naive", "Z_millis"])
def test_every_way_to_be_bad(make_site: MakeSite, instants: Any) -> None:
    """Records bad in every way, between good ones and at both ends of the list, are kept, each once, and no good one
    with them; a second load changes nothing."""
    rows = [queue_call(FIRST + timedelta(hours=5 * n), callerid=f"{n:04}") for n in range(2 * len(BAD) + 1)]
    site = make_site(Account("key", {"queue_calls": rows}, Style(instants=instants)))

    def spoil(records: list[WireRow]) -> list[object]:
        spoilt = {2 * n: {name: value} for n, (name, value) in enumerate((*BAD, BAD[0]))}
        return [record | spoilt.get(number, {}) for number, record in enumerate(records)]

    site.pbx.fault("rows", times=None, mutate_rows=spoil, endpoint="queue_calls")
    for _ in range(2):
        loaded = site.load(endpoints=("queue_calls",), again=EVERYTHING)
        assert loaded.error is None
        raw = site.raw()
        assert as_stored("queue_calls", raw["queue_calls"]) == as_told("queue_calls", rows[1::2])
        kept = [*(row["record"] for row in raw["rejected_records"]), *unplaced(site).elements()]
        sent = [orjson.loads(record) for record in kept]
        found = Counter((name, repr(record[name])) for record in sent for name in {name for name, _ in BAD})
        assert all(found[name, repr(value)] >= 1 for name, value in BAD)
        assert len(sent) == len(BAD) + 1
        assert_days(raw)
