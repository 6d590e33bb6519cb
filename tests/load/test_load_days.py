"""Whole days are the unit: what is kept, replaced, narrowed and read again, a day at a time, and nothing beside it."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from pipelines.errors import PbxUnavailable
from pipelines.load.pipeline import read_local_state
from pipelines.sandbox.account import Account
from pipelines.sandbox.responses import Style, WireRow
from pipelines.voipcloud import read_lists
from pipelines.voipcloud.coverage import DAY, DateRange
from tests.support.site import Site, as_stored, as_told, assert_days, assert_truth, queue_call, queue_table, user_call

MakeSite = Callable[..., Site]
FIRST = datetime(2026, 5, 4, tzinfo=UTC)
DAYS = [FIRST.date() + n * DAY for n in range(6)]
NAMES = ("Sales", "Support")


def calls(names: tuple[str, ...] = NAMES) -> list[WireRow]:
    """Two calls a day and name, an hour apart, but for the fourth day, which only "Support" was called on."""
    return [
        queue_call(FIRST + timedelta(days=n, hours=11 * half, minutes=m), queue_name=name)
        for n in range(len(DAYS))
        for half in range(2)
        for m, name in enumerate(names)
        if n != 3 or name == "Support"
    ]


def served(make_site: MakeSite, **settings: str) -> Site:
    """A loaded site with those calls, and three user calls in the first days."""
    users = [user_call(FIRST + timedelta(days=n)) for n in range(3)]
    account = Account("key", {"queue_calls": calls(), "user_calls": users})
    site = make_site(account, settings=settings)
    assert site.load().error is None
    return site


def drop(site: Site, day: date, count: int | None = None) -> None:
    """The PBX loses `count` (None: all) of a day's queue calls."""
    found = [n for n, row in enumerate(site.pbx.records("queue_calls")) if _day(row) == day]
    site.pbx.remove("queue_calls", *found[:count])


def again(day: date) -> DateRange:
    """One day to read again."""
    return DateRange(day, day + DAY)


def _day(row: WireRow) -> date:
    start = row["call_start_at"]
    assert isinstance(start, datetime)
    return start.date()


@pytest.mark.parametrize(
    ("number", "count"), [(0, None), (2, 1), (2, None), (5, 1)], ids=["oldest-none", "fewer", "none", "newest-fewer"]
)
def test_never_less(make_site: MakeSite, number: int, count: int | None) -> None:
    """A day of which the PBX offers fewer calls than are stored is kept and reported, and that is no failure; with
    --allow-shrink it is replaced, even by nothing; other days stay as they are."""
    site, day = served(make_site), DAYS[number]
    before = site.raw()
    drop(site, day, count)
    asked = ("load", "--from", str(day), "--to", str(day))

    ran = site.run(*asked)
    assert ran.code == 0
    assert ran.err.count(f"--from {day} --to {day} --allow-shrink") == 1
    after = site.raw()
    assert after["queue_calls"] == before["queue_calls"]
    offered = sum(_day(row) == day for row in site.pbx.records("queue_calls"))
    told = {
        row["call_day"]: row["offered_less_count"] for row in after["loaded_days"] if row["endpoint"] == "queue_calls"
    }
    assert told == {known: offered if known == day else None for known in told}
    assert_days(after)

    ran = site.run(*asked, "--allow-shrink")
    assert ran.code == 0
    assert "allow-shrink" not in ran.err
    assert_truth(site)
    assert not any(row["offered_less_count"] is not None for row in site.raw()["loaded_days"])


def test_never_less_takes_what_grew(make_site: MakeSite) -> None:
    """Of the days of one load only the one that shrank is kept; the one that grew beside it is replaced."""
    site = served(make_site)
    stored = site.stored("queue_calls")
    drop(site, DAYS[1], 2)
    late = queue_call(FIRST + timedelta(days=2, hours=23, minutes=59), queue_name="late")
    site.pbx.insert("queue_calls", late)
    loaded = site.load(again=DateRange(DAYS[0], DAYS[5]))
    assert loaded.error is None
    assert [str(DAYS[1]) in warning for warning in loaded.warnings] == [True]
    assert site.stored("queue_calls") == stored + as_told("queue_calls", [late])


def test_never_less_with_everything_gone(make_site: MakeSite) -> None:
    """A PBX that suddenly has no calls at all takes nothing away, unless that is allowed, and then all."""
    site = served(make_site)
    stored = site.stored("queue_calls")
    for day in DAYS:
        drop(site, day)
    everything = DateRange(None, None)
    loaded = site.load(again=everything, endpoints=("queue_calls",))
    assert loaded.error is None
    assert len(loaded.warnings) == len(DAYS)
    assert site.stored("queue_calls") == stored
    assert site.load(again=everything, endpoints=("queue_calls",), allow_shrink=True).error is None
    assert_truth(site)
    site.pbx.insert("queue_calls", *calls())
    assert site.load(again=everything).error is None
    assert_truth(site)


def test_names_filter(make_site: MakeSite) -> None:
    """The filter narrows what is asked for; a change reads the days again and says so: narrower drops the other names'
    calls but never a whole day, wider brings them back, and no day is read again after that."""
    site = served(make_site, queues_names="Sales")
    sales = as_told("queue_calls", [row for row in calls() if row["queue_name"] == "Sales"])
    assert site.stored("queue_calls") == sales
    assert len(site.stored("user_calls")) == 3

    site.set_setting("queues_names", '["Support", "Sales"]')
    loaded = site.load()
    assert loaded.error is None
    assert ["queue_calls" in warning and "filter has changed" in warning for warning in loaded.warnings] == [True]
    assert_truth(site)
    assert site.load().warnings == []

    site.set_setting("queues_names", "Sales")
    loaded = site.load()
    assert loaded.error is None
    assert sum(str(DAYS[3]) in warning for warning in loaded.warnings) == 1
    alone = as_told("queue_calls", [row for row in calls() if _day(row) == DAYS[3]])
    assert site.stored("queue_calls") == sales + alone
    assert_days(site.raw())

    site.set_setting("queues_names", "")
    assert site.load().error is None
    assert_truth(site)
    assert site.load().warnings == []
    names = [a.parameters.get("queues_names") for a in site.pbx.arrivals if a.endpoint == "queue_calls"]
    assert names == ["Sales", "Sales,Support", "Sales,Support", "Sales", None, None]


def test_another_time_zone(make_site: MakeSite) -> None:
    """Times without an offset that were read in the wrong zone are read again in the right one, settled days too, and
    no call is lost, or left on the day on which it stood."""
    newest = FIRST + 20 * DAY
    starts = [newest - timedelta(hours=7 * n) for n in range(60)]
    account = Account(
        "key",
        {"queue_calls": [queue_call(start) for start in starts]},
        Style(instants="naive", timezone="Australia/Sydney"),
    )
    site = make_site(account, settings={"timezone": "UTC"})
    clock = (newest + timedelta(days=4)).timestamp
    assert site.load(clock=clock).error is None
    assert site.stored("queue_calls") != as_told("queue_calls", site.pbx.records("queue_calls"))
    site.set_setting("timezone", "Australia/Sydney")
    loaded = site.load(clock=clock)
    assert "queue_calls: the time zone has changed, so its days are read again." in loaded.warnings
    assert_truth(site)
    assert site.load(clock=clock).warnings == []


@pytest.mark.parametrize("is_cut_short", [True, False])
def test_another_time_zone_in_two_runs(make_site: MakeSite, is_cut_short: bool) -> None:
    """The same where the first run in the right zone does not come to an end, or is told to read some days only: the
    next one, too, leaves no call on the day on which it stood."""
    old = [FIRST + timedelta(days=10 * n, hours=26) for n in range(3)]
    new = [FIRST + timedelta(days=40, seconds=20 * n) for n in range(12_000)]
    account = Account(
        "key", {"queue_calls": queue_table(old + new)}, Style(instants="naive", timezone="America/New_York")
    )
    site = make_site(account, settings={"timezone": "UTC", "package_pages": "1"})
    clock = (FIRST + timedelta(days=60)).timestamp
    assert site.load(clock=clock).error is None
    site.set_setting("timezone", "America/New_York")
    if is_cut_short:
        site.pbx.fault("503", times=3, after=1, endpoint="queue_calls")
        assert isinstance(site.load(clock=clock).error, PbxUnavailable)
    else:
        assert site.load(clock=clock, again=DateRange((FIRST + timedelta(days=15)).date(), None)).error is None
    ended = site.load(clock=clock)
    assert ended.error is None
    assert not any("fewer" in warning for warning in ended.warnings)
    assert_truth(site)
    assert not read_lists(read_local_state("main"), "main")["queue_calls"].coverage.is_moved


def test_names_filter_leaves_no_rejects_behind(make_site: MakeSite) -> None:
    """A record rejected under one filter goes when its day is read again under another that leaves it out."""
    site = make_site(Account("key", {"queue_calls": calls()}))
    site.pbx.insert("queue_calls", queue_call(FIRST + timedelta(hours=5), queue_name="Support", status=["odd"]))
    assert site.load().rejected == 1
    assert_days(site.raw())
    site.set_setting("queues_names", "Sales")
    assert site.load().error is None
    assert site.raw()["rejected_records"] == []
    assert_days(site.raw())


@pytest.mark.parametrize("place", ["file", "environment"])
def test_name_with_a_comma(make_site: MakeSite, place: str) -> None:
    """A name with a comma cannot be asked for: the setting is refused before any request, with the way out."""
    site = make_site(Account("key", {"queue_calls": calls()}))
    names = '["Sales", "Ó Briain, Seán"]'
    if place == "file":
        (site.folder / ".dlt").mkdir()
        (site.folder / ".dlt" / "config.toml").write_text(f"[sources.voipcloud]\nqueues_names = {names}\n")
    else:
        site.set_setting("queues_names", names)
    ran = site.spawn("load")
    assert ran.code == 78
    assert "queues_names" in ran.err
    assert "'Ó Briain, Seán': leave the filter out" in " ".join(ran.err.split())
    assert "Traceback" not in ran.err
    assert site.pbx.arrivals == []


@pytest.mark.parametrize("timezone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_start_date(make_site: MakeSite, timezone: str) -> None:
    """Calls are loaded from the UTC day on which the start date begins in the PBX's zone. An earlier date set later
    brings in the days between; a later one takes nothing away."""
    site = make_site(Account("key", {"queue_calls": calls()}, Style(timezone=timezone)))
    oldest = DAYS[-1]
    for start in (DAYS[3], DAYS[2], DAYS[5]):
        site.set_setting("start_date", str(start))
        assert site.load().error is None
        midnight = datetime.combine(start, datetime.min.time(), ZoneInfo(timezone))
        oldest = min(oldest, midnight.astimezone(UTC).date())
        assert site.stored("queue_calls") == as_told("queue_calls", [row for row in calls() if _day(row) >= oldest])
        assert_days(site.raw())


def test_from_and_to(make_site: MakeSite) -> None:
    """--from and --to read just those days, both ends included, of just the endpoints asked for, and the next load
    reads what they left."""
    site = make_site(Account("key", {"queue_calls": calls(), "user_calls": [user_call(FIRST)]}))
    ran = site.run("load", "--from", str(DAYS[2]), "--to", str(DAYS[4]), "--endpoint", "queue_calls", "--json")
    assert ran.code == 0
    assert site.asked("user_calls") == site.asked("ringgroup_calls") == 0
    within = [row for row in calls() if DAYS[2] <= _day(row) <= DAYS[4]]
    assert as_stored("queue_calls", site.raw()["queue_calls"]) == as_told("queue_calls", within)
    assert site.run("load", "--to", str(DAYS[0])).code == 0
    within += [row for row in calls() if _day(row) == DAYS[0]]
    assert site.stored("queue_calls") == as_told("queue_calls", within)
    assert site.run("load").code == 0
    assert_truth(site)
    assert site.run("load", "--from", "2026-05-09", "--to", "2026-05-08").code == 2
    assert site.run("load", "--from", "May").code == 2


def test_a_settled_day_changes_only_when_asked_for(make_site: MakeSite) -> None:
    """A call told of late, after its day had settled, is left alone by a plain load and taken by --from."""
    site = served(make_site)
    stored = site.stored("queue_calls")
    late = queue_call(FIRST + timedelta(days=1, hours=23, minutes=59, seconds=59), queue_name="late")
    site.pbx.insert("queue_calls", late)
    assert site.load().error is None
    assert site.stored("queue_calls") == stored
    assert site.load(again=again(DAYS[1])).error is None
    assert_truth(site)
