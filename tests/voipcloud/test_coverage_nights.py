"""Many nights on end, interrupted anywhere: what was delivered, day by day, against what the PBX has."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Raw

from pipelines.errors import BudgetSpent, PbxUnavailable
from pipelines.voipcloud.coverage import DAY, missing_ranges
from tests.support.listed_pbx import BEGIN, ENDPOINTS, NEVER, Call, ListedPBX, Replica, make_calls, read_night, told


def check_settled(pbx: ListedPBX, replica: Replica, at: datetime) -> None:
    """Every settled day ended 36 hours before, and holds all its calls as they stay for ever."""
    for endpoint, coverage in replica.coverage.items():
        by_day: dict[date, list[Call]] = {}
        for call in pbx.calls[endpoint]:
            if call.start.date() in coverage.settled:
                by_day.setdefault(call.start.date(), []).append(call)
        for day, calls in by_day.items():
            ended = datetime.combine(day + DAY, datetime.min.time(), UTC)
            assert at >= ended + timedelta(hours=36)
            sound = [call for call in calls if call.has_start and not call.is_bad]
            final = [told(endpoint, call.at(endpoint, NEVER - DAY)) for call in sound]
            assert Counter(replica.rows.get((endpoint, day), [])) == Counter(final), (endpoint, day)
            if any(call.end == NEVER for call in calls):
                assert day < (at - timedelta(days=7)).date()


nights = st.lists(
    st.fixed_dictionaries(
        {
            "hours": st.one_of(st.integers(1, 30), st.sampled_from((24, 24, 24, 24 * 10))),
            "answers": st.none() | st.integers(0, 8),
            "pages": st.integers(1, 4),
            "packages": st.sampled_from((1, 2, 1000)),
            "is_killed": st.booleans(),
            "is_stranger": st.booleans(),
        }
    ),
    max_size=12,
)


@given(
    seed=st.integers(0, 2**32),
    plan=nights,
    a_day=st.sampled_from((0, 3, 25, 60)),
    cap=st.sampled_from((100, 10_000)),
    zone_hours=st.sampled_from((0, 10, 14, -12)),
    is_inclusive=st.booleans(),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_interrupted_nights_end_with_the_truth(
    seed: int, plan: Sequence[dict[str, Any]], a_day: int, cap: int, zone_hours: int, is_inclusive: bool
) -> None:
    """However runs stop, are killed or fail to come, settled days are final, and one whole run ends with the truth."""
    rng = Random(seed)
    length = sum(night["hours"] for night in plan) // 24 + 2
    pbx = ListedPBX({endpoint: make_calls(rng, length, a_day) for endpoint in ENDPOINTS})
    pbx.cap, pbx.zone_hours, pbx.is_inclusive = cap, zone_hours, is_inclusive
    replica = Replica()
    for night in plan:
        pbx.now += timedelta(hours=night["hours"])
        pbx.answers, begun = night["answers"], pbx.now
        pbx.refusal = rng.choice((BudgetSpent("no slot is left", 0.0), PbxUnavailable("no answer")))
        how = {name: night[name] for name in ("packages", "is_killed", "is_stranger")}
        read_night(pbx, replica, **how, package_pages=night["pages"])
        check_settled(pbx, replica, begun)
    pbx.answers = None
    for days in (0, 12):  # a run now, and one when even the calls that never end are old
        pbx.now = max(pbx.now, BEGIN + length * DAY) + timedelta(days=days)
        begun = pbx.now
        read_night(pbx, replica)
        check_settled(pbx, replica, begun)
    for endpoint in ENDPOINTS:
        truth = [(call.is_bad, told(endpoint, call.at(endpoint, pbx.now))) for call in pbx.seen(endpoint)]
        assert replica.all_of(replica.rows, endpoint) == Counter(text for is_bad, text in truth if not is_bad)
        assert replica.all_of(replica.rejected, endpoint) == Counter(text for is_bad, text in truth if is_bad)
        settled = replica.coverage[endpoint].settled
        assert settled.gaps(date.min, (begun - timedelta(hours=36)).date()) == [], "a gap stays for ever"


@given(
    seed=st.integers(0, 2**32),
    hours=st.lists(st.sampled_from((3, 12, 24, 24, 24, 24, 24)), min_size=4, max_size=14),
    a_day=st.sampled_from((0.1, 0.5, 1, 3, 20)),
    zone_hours=st.sampled_from((0, 10, -12)),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_records_without_a_start_harm_no_other(seed: int, hours: list[int], a_day: float, zone_hours: int) -> None:
    """Records without a start never hold back, hide or double a sound call: however few calls there are, every night
    ends with all sound calls as they are now, and no day is taken for shrunk. Each such record is kept some night, and
    those that the last whole read saw are counted as often as the list has them."""
    rng = Random(seed)
    made = make_calls(rng, sum(hours) // 24 + 1, 1)[: int(a_day * (25 + len(hours)))]
    calls = [replace(call, is_bad=False) for call in made]
    calls = [replace(call, has_start=False, end=call.start) if rng.random() < 0.2 else call for call in calls]
    pbx = ListedPBX({"queue_calls": calls, "user_calls": []}, zone_hours=zone_hours)
    replica = Replica()
    kept: set[str] = set()
    for each in (*hours, 24, 24, 24):
        pbx.now += timedelta(hours=each)
        begun = pbx.now
        read_night(pbx, replica, endpoints=("queue_calls",))
        seen = pbx.seen("queue_calls")
        assert replica.all_of(replica.rows, "queue_calls") == Counter(
            told("queue_calls", call.at("queue_calls", pbx.now)) for call in seen if call.has_start
        )
        assert not replica.all_of(replica.rejected, "queue_calls")
        now = Counter(told("queue_calls", call.at("queue_calls", pbx.now)) for call in seen if not call.has_start)
        assert replica.unplaced_now("queue_calls") <= now
        kept |= set(replica.unplaced_now("queue_calls"))
        assert replica.coverage["queue_calls"].offered_less == {}
        check_settled(pbx, replica, begun)
    assert len(kept) == sum(not call.has_start for call in seen)


def test_a_page_of_nothing_but_records_without_a_start() -> None:
    """Where calls vanish above, and no record of the page below has a start, the reader goes back to a page that has
    some, and keeps every record once."""
    calls = [
        Call(at, at, BEGIN, f"+6125550{number:04}", has_start=number >= 9)
        for number, at in enumerate(BEGIN - timedelta(minutes=200 - n) for n in range(109))
    ]
    pbx = ListedPBX({"queue_calls": calls}, cap=100)
    replica = Replica()
    fetch = pbx.fetch_calls

    def fetch_and_lose(endpoint: str, **asked: Any) -> list[Raw]:
        page = fetch(endpoint, **asked)
        if pbx.requests[endpoint] == 1:  # the newest ones, so that what follows stands further up
            del calls[-8:]
        return page

    pbx.fetch_calls = fetch_and_lose  # type: ignore[method-assign]
    read_night(pbx, replica, endpoints=("queue_calls",))
    stored, unplaced = replica.all_of(replica.rows, "queue_calls"), replica.unplaced_now("queue_calls")
    assert (stored.total(), len(stored)) == (100, 100)
    assert (unplaced.total(), len(unplaced)) == (9, 9)


def test_a_normal_night_is_one_stretch_and_one_request() -> None:
    """Run every night, with calls that end within hours, an endpoint costs one request, and one stretch is missing."""
    rng = Random(7)
    calls = [
        Call(call.start, call.start + timedelta(hours=1), call.start, call.number) for call in make_calls(rng, 30, 40)
    ]
    pbx = ListedPBX({"queue_calls": calls, "user_calls": []})
    replica = Replica()
    for _ in range(30):
        pbx.now += DAY
        pbx.requests.clear()
        for known in replica.coverage.values():
            (stretch,) = missing_ranges(known, None, pbx.now, 10_000)
            assert stretch.first is not None
            assert (pbx.now.date() - stretch.first).days <= 3
        read_night(pbx, replica)
        assert pbx.requests == {"queue_calls": 1, "user_calls": 1}
        check_settled(pbx, replica, pbx.now)


def test_a_month_without_a_run_is_made_up() -> None:
    """After a month's silence one run brings every day, and the days before are not read again."""
    pbx = ListedPBX({"queue_calls": make_calls(Random(3), 29, 50), "user_calls": []}, cap=1000)
    replica = Replica()
    read_night(pbx, replica)
    before = replica.coverage["queue_calls"].settled.ranges[-1][1]
    pbx.now += 30 * DAY
    (stretch,) = missing_ranges(replica.coverage["queue_calls"], None, pbx.now, 1000)
    assert stretch.first is not None
    assert stretch.first >= before - 9 * DAY
    read_night(pbx, replica)
    assert replica.all_of(replica.rows, "queue_calls").total() == sum(not c.is_bad for c in pbx.seen("queue_calls"))


def test_vanished_calls_are_kept_and_told_of() -> None:
    """A day of which the PBX offers less is left as it is, until `allow_shrink` says otherwise."""
    pbx = ListedPBX({"queue_calls": make_calls(Random(5), 2, 30), "user_calls": []})
    pbx.now = BEGIN + 2 * DAY
    replica = Replica()
    read_night(pbx, replica)
    day = BEGIN.date() + DAY
    held = list(replica.rows["queue_calls", day])
    for offered in (len(held) - 1, 0):
        gone = [call for call in pbx.seen("queue_calls") if call.start.date() == day][offered:]
        pbx.calls["queue_calls"] = [call for call in pbx.calls["queue_calls"] if call not in gone]
        read_night(pbx, replica)
        assert replica.rows["queue_calls", day] == held
        assert replica.coverage["queue_calls"].offered_less == {day.isoformat(): offered}
    read_night(pbx, replica, allow_shrink=True)
    assert replica.rows["queue_calls", day] == []
    assert replica.coverage["queue_calls"].offered_less == {}


@pytest.mark.parametrize("names", ["Sales", "Sales,Support"])
def test_another_names_filter_replaces_what_was_read(names: str) -> None:
    """With a new filter all days are read again, and each then holds what the new filter lets through."""
    rng = Random(11)
    calls = [
        Call(call.start, call.end, call.start, call.number, call.is_bad, rng.choice(("Sales", "Support", "Service")))
        for call in make_calls(rng, 1, 40)
    ]
    pbx = ListedPBX({"queue_calls": calls, "user_calls": []})
    replica = Replica()
    read_night(pbx, replica, names={})
    read_night(pbx, replica, names={"queue_calls": names})
    truth = [call for call in pbx.seen("queue_calls") if call.queue in names.split(",")]
    assert replica.all_of(replica.rows, "queue_calls").total() == sum(not call.is_bad for call in truth)
    assert replica.all_of(replica.rejected, "queue_calls").total() == sum(call.is_bad for call in truth)
    assert replica.coverage["queue_calls"].other_names == {}


def test_days_that_another_names_filter_leaves_empty_are_kept() -> None:
    """A day of which the new filter lets nothing through keeps what is stored, and is counted as it is."""
    calls = [replace(call, queue="Sales") for call in make_calls(Random(13), 1, 40)]
    pbx = ListedPBX({"queue_calls": calls, "user_calls": []})
    replica = Replica()
    read_night(pbx, replica)
    held = replica.all_of(replica.rows, "queue_calls")
    assert replica.all_of(replica.rejected, "queue_calls")
    read_night(pbx, replica, names={"queue_calls": "Support"})
    assert replica.all_of(replica.rows, "queue_calls") == held
    assert set(replica.coverage["queue_calls"].offered_less.values()) == {0}


@pytest.mark.parametrize("newer", range(20, 120, 9))
def test_a_page_edge_in_the_hour_that_comes_twice(newer: int) -> None:
    """Local times are read back exactly wherever pages of 100 cut the night the clocks are set back."""
    change = datetime(2026, 10, 25, 1, tzinfo=UTC)
    starts = [change + timedelta(minutes=2 * n) for n in range(-150, newer)]
    calls = [Call(at, at + timedelta(minutes=9), at, f"+6125550{n:04}") for n, at in enumerate(starts)]
    pbx = ListedPBX({"queue_calls": calls, "user_calls": []}, now=change + 3 * DAY, cap=100, local_zone="Europe/Berlin")
    replica = Replica()
    read_night(pbx, replica, timezone="Europe/Berlin")
    assert replica.all_of(replica.rows, "queue_calls") == Counter(
        told("queue_calls", c.at("queue_calls", NEVER)) for c in calls
    )
