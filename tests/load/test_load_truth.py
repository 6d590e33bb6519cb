"""After a load the warehouse holds what the PBX has, whatever way it speaks, and again after whatever happens since."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import product
from typing import get_args, get_type_hints
from zoneinfo import ZoneInfo

import pytest
from _pytest.mark import ParameterSet

from pipelines.sandbox.account import Account
from pipelines.sandbox.callcentre import simulate
from pipelines.sandbox.callcentre.parameters import CallCentre
from pipelines.sandbox.clock import scatter
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

CHOICES = {name: get_args(hint) for name, hint in get_type_hints(Style).items() if get_args(hint)}
MANNERS = list(product(*(CHOICES[name] for name in ("instants", "day_filter", "to_date", "envelope"))))
# When the clocks last went forward and back.
CHANGES = {
    "Australia/Sydney": (datetime(2025, 10, 4, 16, tzinfo=UTC), datetime(2026, 4, 4, 16, tzinfo=UTC)),
    "Europe/Berlin": (datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2025, 10, 26, 1, tzinfo=UTC)),
    "America/St_Johns": (datetime(2026, 3, 8, 5, 30, tzinfo=UTC), datetime(2025, 11, 2, 4, 30, tzinfo=UTC)),
}
NAMES = ("Sales", "Ó Briain, Seán", "山田 花子", "Vertrieb \u2013 Süd", "a,b", '"; drop', " ", "\U0001f4de")
MakeSite = Callable[..., Site]


def midnight(day: date) -> datetime:
    """The first instant of a UTC day."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def calls_around(*instants: datetime) -> dict[str, list[WireRow]]:
    """Calls for some days before and after each instant, close together near it, on the edges of days, and alike."""
    starts: list[datetime] = []
    for at in instants:
        starts += [at + timedelta(minutes=53 * n) for n in range(-55, 55)]
        starts += [at + timedelta(minutes=5 * n, milliseconds=250 * (n % 3)) for n in range(-27, 27)]
        for edge in (midnight(at.date()), midnight(at.date() + DAY)):
            starts += [edge - timedelta(milliseconds=1), edge, edge]  # the last two look alike
    users = [user_call(start, 40 + n % 90, user_name=NAMES[n % 8], is_inbound=n % 2) for n, start in enumerate(starts)]
    users += [user_call(at - timedelta(minutes=50), 6000) for at in instants]  # into or beyond the second pass
    return {
        "user_calls": users,
        "queue_calls": [queue_call(start, queue_name=NAMES[n % 8]) for n, start in enumerate(starts)],
        "ringgroup_calls": [ringgroup_call(start, callerid="") for start in starts[::2]],
    }


def as_parameter(number: int) -> ParameterSet:
    """A manner; each envelope comes with each style of instants, and with all other choices in `make soak`."""
    is_for_soak = MANNERS[number][-1] != "data" and number // 3 % 5 != 0
    marks = [pytest.mark.soak] if is_for_soak else []
    return pytest.param(number, id="-".join(MANNERS[number]), marks=marks)


@pytest.mark.parametrize("number", [as_parameter(number) for number in range(len(MANNERS))])
def test_every_manner_of_speech(make_site: MakeSite, number: int) -> None:
    """In each of the 48 manners a PBX can speak, the days from one clock change to the other are loaded whole, and no
    call beside them; then, for each but the envelope, all days, and a day again that leaves its neighbours alone."""
    instants, day_filter, to_date, envelope = MANNERS[number]
    zone = list(CHANGES)[(number + number // 3) % 3]  # every zone with every manner but for the envelope
    site = make_site(Account("key", calls_around(*CHANGES[zone]), Style(envelope, instants, day_filter, to_date, zone)))
    first, *_, end = sorted([*(change.date() for change in CHANGES[zone]), max(CHANGES[zone]).date() + DAY])
    assert site.load(again=DateRange(first, end)).error is None
    raw = site.raw()
    for endpoint in ENDPOINTS:
        within = [row for row in site.pbx.records(endpoint) if midnight(first) <= _start(row) < midnight(end)]
        assert as_stored(endpoint, raw[endpoint]) == as_told(endpoint, within)
    assert_days(raw)
    if envelope == "data":
        assert_all_and_again(site, CHANGES[zone][number // 3 % 2].date())


def assert_all_and_again(site: Site, day: date) -> None:
    """All days are loaded; then late calls at the edges of one of them come with that day."""
    assert site.load().error is None
    assert_truth(site)
    for start in (midnight(day), midnight(day + DAY) - timedelta(seconds=1)):
        site.pbx.insert("queue_calls", queue_call(start, queue_name="late"))
        site.pbx.insert("user_calls", user_call(start, 5, user_name="late"))
    assert site.load(again=DateRange(day, day + DAY)).error is None
    assert_truth(site)


def _start(row: WireRow) -> datetime:
    start = row["call_start_at"]
    assert isinstance(start, datetime)
    return start


def test_nothing_new(make_site: MakeSite) -> None:
    """A second load with nothing new leaves every row as it was, and asks for no settled day."""
    now = datetime.now(UTC)
    site = make_site(Account("key", calls_around(CHANGES["Europe/Berlin"][0], now - timedelta(days=4))))
    for _ in range(2):
        assert site.load().error is None
        assert_truth(site)
    first, second = [a.parameters.get("from_date") for a in site.pbx.arrivals if a.endpoint == "user_calls"]
    assert first is None
    assert second is not None
    assert date.fromisoformat(second) > now.date() - timedelta(days=5)


def living(first_day: date, days: int, calls_per_day: float) -> Account:
    """A call centre in Sydney that is open for `days`; one call in five is told of late, by up to twenty hours."""
    tables = simulate(CallCentre(first_day=first_day, days=days, calls_per_day=calls_per_day))
    late = {name: scatter(table, late=0.2, vanishing=0, within_seconds=72_000) for name, table in tables.items()}
    return Account("key", late)


def test_night_by_night(make_site: MakeSite) -> None:
    """Every night holds the truth of that moment: calls that go on, have ended since or came late by most of a day,
    one that lasts for days, one that never ends."""
    account = living(date(2026, 3, 31), 9, 140)
    now = [datetime(2026, 4, 1, 0, tzinfo=UTC)]  # a busy hour in Sydney
    site = make_site(account, clock=lambda: now[0])
    long, begun = timedelta(days=5, hours=3), now[0] - timedelta(hours=1)
    site.pbx.insert("queue_calls", queue_call(begun, call_finished_at=begun + long, queue_name="long"))
    site.pbx.insert("queue_calls", queue_call(begun, call_finished_at=None, queue_name="never ends"))
    unfinished = []
    for hours in (0, 24, 25, 72, 48):
        now[0] += timedelta(hours=hours)
        assert site.load(clock=now[0].timestamp).error is None
        assert_truth(site)
        unfinished.append(sum(row["unfinished_count"] for row in site.raw()["loaded_days"]))
    assert max(unfinished) > 2
    assert site.asked("queue_calls") == len(unfinished)


def test_a_month_of_not_running(make_site: MakeSite) -> None:
    """After a month without a run the next one brings in the month, and what had changed before it."""
    now = [datetime(2026, 3, 10, 2, tzinfo=UTC)]
    site = make_site(living(date(2026, 3, 5), 40, 40), clock=lambda: now[0])
    assert site.load(clock=now[0].timestamp).error is None
    assert_truth(site)
    now[0] += timedelta(days=31)
    assert site.load(clock=now[0].timestamp).error is None
    assert_truth(site)
    assert site.asked("user_calls") == 2


def test_ties_over_many_pages(make_site: MakeSite) -> None:
    """Thousands of calls that share their seconds, some alike in all, in another order with every request, come out
    whole from package after package of a page each."""
    start = datetime(2026, 5, 1, tzinfo=UTC)
    starts = [start + timedelta(seconds=30 * (n // 40)) for n in range(24_000)]
    account = Account("key", {"queue_calls": queue_table(starts)}, shuffle_ties=True)
    site = make_site(account, settings={"package_pages": "1"})
    site.pbx.duplicate("queue_calls", every=7)
    loaded = site.load()
    assert loaded.error is None
    assert loaded.packages >= 3
    assert_truth(site)


@pytest.mark.parametrize("above", [4600, 8200], ids=["first-pass", "second-pass"])
def test_page_ends_in_the_hour_that_comes_twice(make_site: MakeSite, above: int) -> None:
    """Without offsets, a page that ends within either pass of the autumn's double hour loses and moves no call."""
    zone = "Australia/Sydney"
    end = CHANGES[zone][1] + timedelta(hours=1)  # of the second pass; `above` calls are newer than this
    starts = [end + timedelta(seconds=above - 1 - n) for n in range(above + 7200 + 3000)]
    assert end.astimezone(ZoneInfo(zone)).strftime("%H:%M") == "03:00"
    site = make_site(Account("key", {"queue_calls": queue_table(starts)}, Style(instants="naive", timezone=zone)))
    assert site.load().error is None
    assert_truth(site)


def test_accounts_apart(make_site: MakeSite) -> None:
    """Two accounts share the warehouse, and neither a load nor a shrinking day of one touches the other's rows."""
    day = midnight(date(2026, 6, 1))
    calls = {"queue_calls": [queue_call(day), queue_call(day + timedelta(hours=2))], "user_calls": [user_call(day)]}
    accounts = [Account(f"key-{name}", calls, name=name) for name in ("sydney", "leeds")]
    site = make_site(*accounts)
    for account in accounts:
        assert site.load(account.name).error is None
    site.pbx.remove("queue_calls", 0, account="leeds")
    site.pbx.remove("user_calls", 0, account="leeds")
    again = DateRange(day.date(), day.date() + DAY)
    assert site.load("leeds", again=again, allow_shrink=True).error is None
    assert_truth(site, "leeds")
    assert_truth(site, "sydney")
    assert {row["account"]: row["timezone"] for row in site.query("from raw.accounts")} == {
        "sydney": "Australia/Sydney",
        "leeds": "Australia/Sydney",
    }
    assert [row["n"] for row in site.query("select count(*) as n from raw.system_status group by account")] == [1, 2]
