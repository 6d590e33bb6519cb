"""Which days are settled and which to ask for, against a plain model: a set of days."""

import json
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.voipcloud.coverage import (
    BEGINNING,
    DAY,
    Coverage,
    DateRange,
    DayRead,
    Days,
    Rules,
    is_shrunk,
    missing_ranges,
    unread_ranges,
    with_days,
)
from pipelines.voipcloud.list_state import ListState

FIRST = date(2026, 3, 1)
NOW = datetime(2026, 4, 10, 2, 30, tzinfo=UTC)
PAGE = 10_000
days = st.integers(0, 40).map(lambda n: FIRST + n * DAY)
spans = st.tuples(days, days)


def days_in(first: date, end: date) -> set[date]:
    """The days from `first` to before `end`."""
    return {first + n * DAY for n in range((end - first).days)}


def settled_in(*ranges: tuple[date, date]) -> Days:
    """These ranges of days as a set."""
    found = Days()
    for low, high in ranges:
        found = found.add(low, high)
    return found


def counts_of(some: Iterable[date], records: int) -> dict[str, int]:
    """As many records on each of these days."""
    return {day.isoformat(): records for day in some}


def restored(coverage: Coverage) -> Coverage:
    """Coverage as it comes back from a list's state, through JSON."""
    return ListState.from_state(json.loads(json.dumps(ListState(coverage).to_state())), "main").coverage


@given(st.lists(spans, max_size=8), spans)
@settings(deadline=None)
def test_days_are_a_set(ranges: list[tuple[date, date]], window: tuple[date, date]) -> None:
    """Ranges added in any order hold the days of their union, sorted and apart; gaps are what is left of a window."""
    model = set().union(*(days_in(*span) for span in ranges))
    found = settled_in(*ranges)
    assert {day for day in days_in(FIRST, FIRST + 45 * DAY) if day in found} == model
    edges = [edge for span in found.ranges for edge in span]
    assert edges == sorted(set(edges))
    gaps = found.gaps(*window)
    assert set().union(*(days_in(*gap) for gap in gaps)) == days_in(*window) - model
    assert gaps == sorted(gaps)
    assert all(low < high for low, high in gaps)


@given(st.lists(spans, max_size=6), st.none() | days, st.integers(0, 60), st.sampled_from((0, 10, 700)))
@settings(max_examples=300, deadline=None)
def test_every_day_that_is_not_settled_is_asked_for(
    ranges: list[tuple[date, date]], start: date | None, today: int, a_day: int
) -> None:
    """The stretches hold every day not settled from the start on; settled ones only where that saves a request."""
    settled = settled_in(*((BEGINNING, high) if low < FIRST + 5 * DAY else (low, high) for low, high in ranges))
    now = datetime.combine(FIRST + today * DAY, datetime.min.time(), UTC) + timedelta(hours=7)
    everything = days_in(FIRST, now.date() + 3 * DAY)
    coverage = Coverage(settled=settled, counts=counts_of(everything, a_day), read_at=NOW.isoformat())
    stretches = missing_ranges(coverage, start, now, PAGE)
    wanted = {day for day in everything if day not in settled and (start is None or day >= start)}
    asked = {day for day in everything if any(day in stretch for stretch in stretches)}
    assert wanted <= asked
    assert stretches[0].end is None, "the newest stretch has no end"
    for newer, older in pairwise(stretches):
        assert newer.first is not None
        assert older.end is not None
        between = days_in(older.end, newer.first)
        assert between
        assert all(day in settled for day in between)
        assert len(between) * a_day >= PAGE // 2
    for low, high in settled.ranges:
        inside = days_in(max(low, FIRST), min(high, now.date()))
        if inside <= asked:
            assert len(inside) * a_day < PAGE // 2
    if start is None and not any(low == BEGINNING for low, _ in settled.ranges):
        assert stretches[-1].first is None
    if start is not None:
        assert all(stretch.first is not None and stretch.first >= start for stretch in stretches)


@given(spans, st.integers(-30, 30), st.data())
@settings(max_examples=300, deadline=None)
def test_a_day_is_settled_by_its_own_rule(span: tuple[date, date], hours: int, data: st.DataObject) -> None:
    """Read whole, ended 36 hours ago, nothing unfinished and not offered less, or eight days gone: else asked again."""
    now = NOW + timedelta(hours=hours)
    within = sorted(days_in(*span))
    some = st.lists(st.sampled_from(within), unique=True, max_size=6) if within else st.just([])
    unfinished, kept = data.draw(some), data.draw(some)
    read = {day: DayRead(3, unfinished=day in unfinished) for day in within if day not in kept}
    after = with_days(Coverage(), read, dict.fromkeys(kept, 0), span, now, Rules())
    for day in days_in(FIRST - DAY, FIRST + 45 * DAY):
        midnight_after = datetime.combine(day + DAY, datetime.min.time(), UTC)
        is_old = (now - timedelta(days=7)).date() > day
        is_sound = day not in kept and day not in unfinished
        whole = day in within and now >= midnight_after + timedelta(hours=36)
        assert (day in after.settled) == (whole and (is_sound or is_old)), day
    assert after.counts == counts_of(read, 3)
    assert set(after.unfinished) == {day.isoformat() for day in unfinished if day not in kept}
    assert after.offered_less == counts_of(kept, 0)


def test_the_rules_can_be_set() -> None:
    """`settle_hours` counts from 12 hours after the UTC day's end; `open_call_days` from now."""
    day = date(2026, 4, 5)
    read = {day: DayRead(1, unfinished=1), day + DAY: DayRead(1)}
    span = (day, day + 2 * DAY)
    for hours, settled in ((62, True), (63, False)):  # from 7 April, 00:00, to 10 April, 02:30, are 12 and 62.5 hours
        after = with_days(Coverage(), read, {}, span, NOW, Rules(settle_hours=hours, open_call_days=30))
        assert (day + DAY in after.settled) == settled
        assert day not in after.settled
    assert day in with_days(Coverage(), read, {}, span, NOW, Rules(open_call_days=3)).settled


def test_reading_a_day_again_replaces_what_is_known_of_it() -> None:
    """Counts, rejected, unfinished and offered-less of a day are those of its last reading; other days keep theirs."""
    one, two = date(2026, 4, 1), date(2026, 4, 2)
    span = (one, two + DAY)
    before = with_days(Coverage(), {one: DayRead(5, 2, 1), two: DayRead(7, 1, 1)}, {}, span, NOW, Rules())
    less = with_days(before, {two: DayRead(8)}, {one: 0}, span, NOW, Rules())
    assert less.counts == {one.isoformat(): 5, two.isoformat(): 8}
    assert less.rejected == {one.isoformat(): 2}
    assert less.unfinished == {one.isoformat(): 1}
    assert less.offered_less == {one.isoformat(): 0}
    again = with_days(less, {one: DayRead()}, {}, (one, two), NOW, Rules())
    assert again.counts == {two.isoformat(): 8}
    assert (again.rejected, again.unfinished, again.offered_less) == ({}, {}, {})


def test_a_settled_day_with_a_call_that_goes_on_is_settled_no_longer() -> None:
    """A day that was settled and, read again, holds a call that has not ended is asked for until it has; only it."""
    one, two = date(2026, 4, 5), date(2026, 4, 6)
    settled = with_days(Coverage(), {}, {}, (BEGINNING, two + DAY), NOW, Rules())
    assert one in settled.settled
    again = with_days(settled, {one: DayRead(3, unfinished=1)}, {}, (one, two), NOW, Rules())
    assert [day in again.settled for day in (one - DAY, one, two)] == [True, False, True]
    over = with_days(again, {one: DayRead(3)}, {}, (one, two), NOW, Rules())
    assert over.settled == settled.settled


def test_a_call_that_goes_on_costs_no_request_more() -> None:
    """A day kept open by a call is asked for together with the newest, where all that came since fits a page."""
    kept = date(2026, 4, 4)
    for a_day, stretches in ((PAGE // 8, 1), (PAGE // 5, 1), (PAGE // 3, 2)):
        read = {kept + n * DAY: DayRead(a_day, unfinished=n == 0) for n in range(4)}
        coverage = with_days(Coverage(), read, {}, (BEGINNING, kept + 4 * DAY), NOW, Rules())
        found = missing_ranges(coverage, None, NOW, PAGE)
        assert len(found) == stretches, a_day
        assert (found[-1].first, found[0].end) == (kept, None)


def test_days_never_read_are_told_apart_from_days_not_settled() -> None:
    """What a run that stopped early left out is unread, down to any time; a day that waits for a call is not."""
    day = date(2026, 4, 4)
    assert unread_ranges(Coverage(), None, Rules()) == []
    newest = with_days(Coverage(), {day: DayRead(2, unfinished=1)}, {}, (day, date.max), NOW, Rules())
    assert unread_ranges(newest, None, Rules()) == [(BEGINNING, day)]
    assert unread_ranges(newest, day - DAY, Rules()) == [(day - DAY, day)]
    assert unread_ranges(newest, day, Rules()) == []
    assert unread_ranges(newest, NOW.date() + DAY, Rules()) == []
    lower = with_days(newest, {}, {day - 9 * DAY: 1}, (BEGINNING, day - 3 * DAY), NOW, Rules())
    assert unread_ranges(lower, None, Rules()) == [(day - 3 * DAY, day)]


def test_a_day_offered_less_is_asked_for_again_until_it_is_old() -> None:
    """A day that came back short is not settled with what happens to be stored; after `open_call_days` it is."""
    day = date(2026, 4, 6)
    stored = Coverage(counts={day.isoformat(): 9}, read_at=NOW.isoformat())
    short = with_days(stored, {}, {day: 8}, (day, day + DAY), NOW, Rules())
    assert day not in short.settled
    later = with_days(stored, {}, {day: 8}, (day, day + DAY), NOW + 9 * DAY, Rules())
    assert day in later.settled


@pytest.mark.parametrize(
    ("stored", "other", "offered", "shrunk"),
    [(5, 0, 4, True), (5, 0, 5, False), (5, 0, 0, True), (0, 0, 0, False), (0, 5, 1, False), (0, 5, 0, True)],
)
def test_fewer_records_than_stored_are_noticed(stored: int, other: int, offered: int, shrunk: bool) -> None:
    """Fewer than stored under this names filter, or none of what another filter stored."""
    key = FIRST.isoformat()
    coverage = Coverage(counts={key: stored} if stored else {}, other_names={key: other} if other else {})
    assert is_shrunk(coverage, FIRST, DayRead(offered)) == shrunk


def test_the_state_of_an_earlier_version_is_read() -> None:
    """Days whose rejected records included some without a start are marked, so that these go when it is read again."""
    key, later = FIRST.isoformat(), (FIRST + DAY).isoformat()
    old = {"names": "", "settled": [[key, later]], "counts": {key: 5}, "rejected": {key: 1}, "read_at": None}
    old |= {"unplaced": {key: 2, "2026-01-01": 1}, "offered_less": {}, "newest_at": "2026-01-02T00:00:00+00:00"}
    assert Coverage.from_old_state(old) == Coverage(
        counts={key: 5},
        rejected={key: 1, "2026-01-01": 0},
        settled=Days(((FIRST, FIRST + DAY),)),
        newest_at="2026-01-02T00:00:00+00:00",
    )


def test_days_of_another_time_zone_may_be_left_empty() -> None:
    """Until all of them were read in the new zone, through a change of names too; then fewer records count again."""
    old = Coverage(timezone="UTC", counts={FIRST.isoformat(): 5, (FIRST + DAY).isoformat(): 5}, read_at=NOW.isoformat())
    new = old.under("", "Europe/Berlin")
    for coverage in (new, new.under("Sales"), restored(new)):
        half = with_days(coverage, {FIRST: DayRead(3)}, {}, (FIRST, FIRST + DAY), NOW, Rules())
        assert not is_shrunk(half, FIRST + DAY, DayRead())
        whole = with_days(half, {FIRST + DAY: DayRead()}, {}, (FIRST, FIRST + 2 * DAY), NOW, Rules())
        assert (whole.is_moved, is_shrunk(whole, FIRST, DayRead(2))) == (False, True)
    assert is_shrunk(old.under("Sales"), FIRST, DayRead())


def test_another_names_filter_starts_again() -> None:
    """Nothing is settled under a new filter, and what the old one stored stays known until its day is read."""
    old = with_days(
        Coverage(), {FIRST: DayRead(5), FIRST + DAY: DayRead(6)}, {}, (BEGINNING, FIRST + 2 * DAY), NOW, Rules()
    )
    assert old.under("") is old
    new = old.under("Sales")
    assert (new.settled, new.counts, new.is_empty) == (Days(), {}, True)
    assert new.other_names == {**old.counts}
    assert missing_ranges(new, None, NOW, PAGE) == [DateRange(None, None)]
    half = with_days(new, {FIRST + DAY: DayRead(2)}, {}, (FIRST + DAY, FIRST + 2 * DAY), NOW, Rules())
    assert half.other_names == {FIRST.isoformat(): 5}
    assert half.first_day == FIRST
    back = half.under("")
    assert back.other_names == {FIRST.isoformat(): 5, (FIRST + DAY).isoformat(): 2}
    assert FIRST not in back.settled


@given(spans, st.sampled_from((BEGINNING, FIRST)), st.data())
@settings(deadline=None)
def test_coverage_survives_json(span: tuple[date, date], first: date, data: st.DataObject) -> None:
    """What is kept in the pipeline's state comes back equal, through JSON, and behaves the same."""
    numbers = st.dictionaries(days, st.integers(0, 9), max_size=4)
    read = {day: DayRead(n, n // 2, n // 3) for day, n in data.draw(numbers).items()}
    coverage = with_days(Coverage(names="Sales"), read, data.draw(numbers), (first, span[1]), NOW, Rules())
    coverage = coverage.under("Support") if data.draw(st.booleans()) else coverage
    again = restored(coverage)
    assert again == coverage
    assert missing_ranges(again, None, NOW, PAGE) == missing_ranges(coverage, None, NOW, PAGE)
    assert ListState.from_state({}, "main").coverage == Coverage()


def test_a_stretch_is_asked_for_with_padding() -> None:
    """A day more below, and above one for the zone and one for a PBX that leaves `to_date` out; nothing is any time."""
    stretch = DateRange(date(2026, 4, 1), date(2026, 4, 3))
    assert (stretch.from_date, stretch.to_date) == ("2026-03-31", "2026-04-04")
    assert (DateRange(None, None).from_date, DateRange(None, None).to_date) == ("", "")
    assert [date(2026, 4, n) in stretch for n in (1, 2, 3)] == [True, True, False]


def test_a_first_load_asks_for_all_time_or_from_its_start() -> None:
    """Nothing read yet: one request from any time, or from the start date, which may lie ahead."""
    assert missing_ranges(Coverage(), None, NOW, PAGE) == [DateRange(None, None)]
    assert missing_ranges(Coverage(), FIRST, NOW, PAGE) == [DateRange(FIRST, None)]
    ahead = NOW.date() + 5 * DAY
    assert missing_ranges(Coverage(), ahead, NOW, PAGE) == [DateRange(ahead, None)]
