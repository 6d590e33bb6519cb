"""The simulated call centre against theory: Erlang C, Erlang A, and Poisson arrivals by the local hour of the week."""

import math
from collections import Counter
from dataclasses import replace
from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from pipelines.sandbox.callcentre import CallCentre, simulate
from pipelines.time_zones import read_zone
from tests.support.erlang import FIRST_CALLS_ONLY, erlang_a, plain

Floats = NDArray[np.float64]


def seconds(column: pa.ChunkedArray) -> Floats:
    """A column of instants as Unix seconds, 0 where null."""
    found: Floats = column.cast(pa.int64()).fill_null(0).to_numpy() / 1e6
    return found


def run_plain(centre: CallCentre) -> tuple[Floats, NDArray[np.bool_]]:
    """In order of arrival: waits in hours, and which callers gave up."""
    calls = simulate(centre)["queue_calls"]
    given_up = calls["status"].to_numpy() == "abandoned"
    left = np.where(given_up, seconds(calls["call_finished_at"]), seconds(calls["call_answered_at"]))
    return ((left - seconds(calls["call_start_at"])) / 3600)[::-1], given_up[::-1]


def assert_mean(values: Floats, theory: float) -> None:
    """Assert that the mean is within 3.5 standard errors of theory, by 40 batch means; the error must be below 10 %."""
    settled = values[len(values) // 20 :]  # without the start, when the centre is empty
    means = np.array([batch.mean() for batch in np.array_split(settled, 40)])
    error = means.std(ddof=1) / math.sqrt(40)
    assert error < 0.1 * theory
    assert abs(means.mean() - theory) < 3.5 * error, (means.mean(), theory, error)


@pytest.mark.parametrize(("agents", "calls_per_hour"), [(10, 7.0), (10, 8.5), (3, 2.4)])
def test_patient_callers_wait_as_erlang_c_says(agents: int, calls_per_hour: float) -> None:
    """In an M/M/c queue the share that waits, the mean wait and the exponential tail are those of Erlang C."""
    load = calls_per_hour  # in erlangs, because a talk takes an hour
    tail = load**agents / math.factorial(agents) * agents / (agents - load)
    must_wait = tail / (sum(load**k / math.factorial(k) for k in range(agents)) + tail)
    spare = agents - calls_per_hour
    waits, given_up = run_plain(plain(agents, calls_per_hour))
    assert not given_up.any()
    assert_mean((waits > 0).astype(float), must_wait)
    assert_mean(waits, must_wait / spare)
    assert_mean((waits > 1 / spare).astype(float), must_wait / math.e)  # true only if first come is first served


def test_impatient_callers_give_up_as_erlang_a_says() -> None:
    """In an M/M/c+M queue, under and over capacity, abandonment and waits are Erlang A's; fewer agents lose more."""
    lost = []
    for agents in (11, 9, 7):
        must_wait, gives_up, mean_wait = erlang_a(agents, 9.0, 0.5)
        waits, given_up = run_plain(plain(agents, 9.0, patience_hours=0.5))
        assert_mean((waits > 0).astype(float), must_wait)
        assert_mean(given_up.astype(float), gives_up)
        assert_mean(waits, mean_wait)
        lost.append(given_up.mean())
    assert lost[0] < lost[1] < lost[2]


def test_shared_agents_take_the_longest_waiting_caller() -> None:
    """If agents serve two queues, calls are answered in the order of their entry, whichever queue they entered."""
    one = plain(3, 2.4)
    queues = tuple(replace(one.queues[0], name=name, numbers=(f"+6125550000{name}",)) for name in "12")
    calls = simulate(replace(one, queues=queues, days=200))["queue_calls"]
    entered, answered = seconds(calls["call_start_at"])[::-1], seconds(calls["call_answered_at"])[::-1]
    assert (answered > entered).sum() > 1000
    order = np.lexsort((answered, entered))  # calls that enter within one second may be answered in either order
    assert (np.diff(answered[order]) >= 0).all()


def test_ring_groups_ring_all_free_members_at_once() -> None:
    """With four phones in a ring group the first answer takes a quarter of the time that a queue's one phone takes."""
    centre = replace(plain(4, 1.0), days=400, answer_seconds=12.0)
    queue = replace(centre.queues[0], talk_seconds=1.0)  # calls are so rare that callers wait only for the answer
    group = replace(queue, name="All", numbers=("+61255500001",), members=("Zoë Müller", "A", "B", "C"))
    lists = simulate(replace(centre, queues=(queue,), ring_groups=(group,)))
    for endpoint, mean_seconds in (("queue_calls", 12.0), ("ringgroup_calls", 3.0)):
        calls = lists[endpoint]
        assert_mean(seconds(calls["call_answered_at"]) - seconds(calls["call_start_at"]), mean_seconds)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Australia/Sydney", date(2025, 4, 6), {2: 2.0}),  # 2:00 to 3:00 comes twice
        ("Australia/Sydney", date(2025, 10, 5), {2: 0.0}),  # and never
        ("Europe/Berlin", date(2025, 10, 26), {2: 2.0}),
        ("Australia/Lord_Howe", date(2025, 10, 5), {2: 0.5}),  # clocks move by half an hour
        ("Asia/Kolkata", date(2025, 10, 26), {}),
    ],
)
def test_local_hours_that_come_twice_bring_twice_the_calls(zone: str, day: date, hours: dict[int, float]) -> None:
    """On days when clocks change, each local hour has calls in proportion to its length."""
    centre = replace(
        FIRST_CALLS_ONLY, timezone=zone, first_day=day, days=1, calls_per_day=24_000, hour_weights=(1.0,) * 168
    )
    starts = simulate(centre)["queue_calls"]["call_start_at"]
    local = [start.astimezone(read_zone(zone)) for start in starts.to_pylist()]
    assert {start.date() for start in local} == {day}
    counts = Counter(start.hour for start in local)
    for hour in range(24):
        expected = 1000 * hours.get(hour, 1.0)
        assert abs(counts[hour] - expected) <= 4.5 * math.sqrt(expected)


def test_calls_keep_the_hours_of_the_local_week_across_a_clock_change() -> None:
    """Before and after clocks go forward, calls follow the weights by local weekday and hour."""
    weights = tuple(float(1 + hour % 24 if 8 <= hour % 24 < 18 else 0) * (1 + hour // 24) for hour in range(168))
    per_unit = 4000 / (sum(weights[:120]) / 5)
    for first_day in (date(2025, 9, 8), date(2025, 10, 6)):  # Mondays around 5 October
        centre = replace(FIRST_CALLS_ONLY, first_day=first_day, days=14, calls_per_day=4000, hour_weights=weights)
        starts = simulate(centre)["queue_calls"]["call_start_at"]
        local = [at.astimezone(read_zone("Australia/Sydney")) for at in starts.to_pylist()]
        counts = Counter(24 * at.weekday() + at.hour for at in local)
        expected = {hour: 2 * weight * per_unit for hour, weight in enumerate(weights) if weight}
        assert counts.keys() == expected.keys()
        chi_square = sum((counts[hour] - n) ** 2 / n for hour, n in expected.items())
        assert abs(chi_square - len(expected)) < 4 * math.sqrt(2 * len(expected))
