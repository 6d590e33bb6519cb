"""What a load costs: as few requests as the lists have pages, however it is packed and wherever it breaks."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from math import ceil

import pyarrow as pa
import pytest

from pipelines.errors import CallsError, KeyRefused, UnexpectedPayload
from pipelines.sandbox.account import Account
from pipelines.sandbox.callcentre import simulate
from pipelines.sandbox.callcentre.parameters import CallCentre
from pipelines.sandbox.request_log import Arrival
from pipelines.voipcloud.schemas import ENDPOINTS
from tests.support.site import Site, as_told, assert_days, assert_truth, queue_call, queue_table, user_call

MakeSite = Callable[..., Site]
NEWEST = datetime(2026, 6, 30, 12, tzinfo=UTC)
ONE_EACH = Counter([*ENDPOINTS, "system_status"])


def queue_calls(count: int, every_seconds: int = 40) -> pa.Table:
    """So many queue calls, the newest at `NEWEST`."""
    return queue_table([NEWEST - timedelta(seconds=every_seconds * n) for n in range(count)])


def user_calls(count: int) -> pa.Table:
    """So many user calls, three in every second that has any."""
    return pa.Table.from_pylist([user_call(NEWEST - timedelta(seconds=90 * (n // 3)), n % 60) for n in range(count)])


def asked_by(site: Site, load: Callable[[], object]) -> "Counter[str]":
    """The requests of a load, by endpoint."""
    before = len(site.pbx.arrivals)
    load()
    return Counter(arrival.endpoint for arrival in site.pbx.arrivals[before:])


@pytest.mark.parametrize(
    ("package_pages", "queues", "users"), [(1, 10_000, 0), (2, 20_001, 9_999), (25, 20_000, 10_001)]
)
def test_first_load(make_site: MakeSite, package_pages: int, queues: int, users: int) -> None:
    """A first load without a start date costs at most a request more than the list has pages of 10,000, an endpoint,
    however many packages it takes, and one where there are no calls; the next load costs one."""
    account = Account("key", {"queue_calls": queue_calls(queues), "user_calls": user_calls(users)})
    site = make_site(account, settings={"package_pages": str(package_pages)})
    loaded = site.load()
    assert loaded.error is None
    assert_truth(site)
    for endpoint, count in (("queue_calls", queues), ("user_calls", users), ("ringgroup_calls", 0)):
        assert site.asked(endpoint) <= max(1, ceil(count / 10_000) + (count >= 10_000)), endpoint
    assert loaded.requests == sum(site.asked(endpoint) for endpoint in ENDPOINTS)
    assert package_pages > 2 or loaded.packages > 1
    assert len(site.raw()["system_status"]) == 1
    assert asked_by(site, site.load) == ONE_EACH


def test_list_as_long_as_a_usual_cap(make_site: MakeSite) -> None:
    """A list of exactly 100 calls costs one request more, because a PBX that caps its pages at 100 looks the same."""
    site = make_site(Account("key", {"queue_calls": queue_calls(100)}))
    assert asked_by(site, site.load)["queue_calls"] == 2
    assert_truth(site)


def test_normal_nights(make_site: MakeSite) -> None:
    """A night costs one request an endpoint and one for the status, busy or quiet, and with a call five days old that
    has not ended."""
    tables = simulate(CallCentre(first_day=date(2026, 6, 1), days=12, calls_per_day=120))
    now = [datetime(2026, 6, 5, 17, tzinfo=UTC)]
    site = make_site(Account("key", tables), clock=lambda: now[0])
    site.pbx.insert("user_calls", user_call(now[0] - timedelta(hours=1), 6 * 86_400))
    for _ in range(5):
        assert asked_by(site, lambda: site.load(clock=now[0].timestamp)) == ONE_EACH
        assert_truth(site)
        now[0] += timedelta(days=1)
    asked = [a.parameters.get("from_date") for a in site.pbx.arrivals if a.endpoint == "user_calls"]
    assert asked == [None, "2026-06-03", "2026-06-04", "2026-06-04", "2026-06-04"]  # a day before the one not settled


def test_a_call_open_across_thousands(make_site: MakeSite) -> None:
    """A call that goes on while six thousand others come and go costs no request more, as all fit a page."""
    starts = [NEWEST - timedelta(seconds=45 * n) for n in range(9600)]
    site = make_site(Account("key", {"queue_calls": queue_table(starts)}))
    site.pbx.insert("queue_calls", queue_call(starts[-100], call_finished_at=None))
    for hours in (1, 2):
        clock = (NEWEST + timedelta(hours=hours)).timestamp
        assert asked_by(site, lambda: site.load(clock=clock)) == ONE_EACH  # noqa: B023 -- called at once
        assert_truth(site)
    asked = [a.parameters.get("from_date") for a in site.pbx.arrivals if a.endpoint == "queue_calls"]
    assert asked == [None, (starts[-100] - timedelta(days=1)).strftime("%Y-%m-%d")]


def test_an_account_without_calls(make_site: MakeSite) -> None:
    """An account that has no calls at all costs one request an endpoint, every night, and its first call is seen."""
    now = [datetime(2026, 6, 5, 17, tzinfo=UTC)]
    site = make_site(Account("key", {}), clock=lambda: now[0])
    for _ in range(3):
        assert asked_by(site, lambda: site.load(clock=now[0].timestamp)) == ONE_EACH
        assert site.raw()["loaded_days"] == []
        now[0] += timedelta(days=1)
    site.pbx.insert("queue_calls", queue_call(now[0] - timedelta(hours=20)))
    assert asked_by(site, lambda: site.load(clock=now[0].timestamp)) == ONE_EACH
    assert_truth(site)


def test_a_list_that_moves_while_it_is_read(make_site: MakeSite) -> None:
    """Calls that arrive, and others that go, between any two requests lose and double none of the rest, and the next
    load brings the truth."""
    site = make_site(
        Account("key", {"queue_calls": queue_calls(25_000, 20)}, shuffle_ties=True), settings={"package_pages": "1"}
    )
    stayed = site.pbx.records("queue_calls")
    arrived = [NEWEST + timedelta(hours=1)]

    def move(arrival: Arrival) -> None:
        if arrival.endpoint != "queue_calls":
            return
        if arrived[0] > NEWEST + timedelta(hours=1):
            site.pbx.remove("queue_calls", *range(250))
        starts = [arrived[0] + timedelta(seconds=n // 4) for n in range(400)]
        arrived[0] = starts[-1] + timedelta(seconds=1)
        site.pbx.insert("queue_calls", *[queue_call(start, queue_name="new") for start in starts])

    site.pbx.after_request = move
    clock = (NEWEST + timedelta(hours=2)).timestamp
    assert site.load(clock=clock).error is None
    site.pbx.after_request = None
    truth = as_told("queue_calls", stayed)
    stored = site.stored("queue_calls")
    assert {call: stored[call] for call in truth} == truth
    assert site.load(clock=clock).error is None
    assert_truth(site)


@pytest.mark.parametrize(
    ("kind", "page", "raised"),
    [("401", 0, KeyRefused), ("401", 2, KeyRefused), ("bad_json", 2, UnexpectedPayload)],
)
def test_an_error_on_a_page(make_site: MakeSite, kind: str, page: int, raised: type[CallsError]) -> None:
    """A list that breaks on a page leaves in the warehouse what was whole, day by day from the newest down, and the
    next load reads the rest without asking again for the days that are there."""
    account = Account("key", {"queue_calls": queue_calls(24_000), "user_calls": user_calls(300)})
    site = make_site(account, settings={"package_pages": "3"})
    site.pbx.fault(kind, after=page, times=None, endpoint="queue_calls")
    assert isinstance(site.load().error, raised)
    site.pbx.faults.clear()
    stored = site.stored("queue_calls")
    days = {row["call_day"] for row in site.raw()["queue_calls"]}
    truth = site.pbx.records("queue_calls")
    assert stored == as_told("queue_calls", [row for row in truth if _day(row) in days])
    assert days == set(sorted({_day(row) for row in truth}, reverse=True)[: len(days)])
    assert len(days) >= 4 * page  # 10,000 calls are 4.6 days
    assert_days(site.raw())

    assert asked_by(site, site.load)["queue_calls"] <= ceil((24_000 - stored.total()) / 10_000) + 1
    assert_truth(site)


def _day(row: dict[str, object]) -> date:
    start = row["call_start_at"]
    assert isinstance(start, datetime)
    return start.date()
