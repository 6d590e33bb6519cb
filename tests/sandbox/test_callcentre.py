"""The simulated call centre: its three lists are consistent and hold every kind of record that the API has."""

import math
import re
import time
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from pipelines.sandbox.callcentre import CallCentre, Queue, simulate, staffed
from pipelines.time_zones import read_zone

RESERVED = re.compile(
    r"\+61[2378](5550|7010)\d{4}|\+442079460\d{3}|\+447700900\d{3}|\+1[2-9]\d\d55501\d\d"  # ACMA, Ofcom, NANPA
)
ANONYMOUS = {"anonymous", "private", ""}
Rows = list[dict[str, Any]]


def seconds(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """A column of instants as Unix seconds, 0 where null."""
    found: NDArray[np.int64] = column.cast(pa.int64()).fill_null(0).to_numpy() // 1_000_000
    return found


@pytest.fixture(scope="module")
def year() -> dict[str, pa.Table]:
    """A year of the default centre."""
    return simulate(CallCentre())


@pytest.fixture(scope="module")
def month() -> dict[str, Rows]:
    """Two busy months of the default centre, as rows."""
    return {name: table.to_pylist() for name, table in simulate(CallCentre(days=60, seed=2)).items()}


def test_columns_are_the_apis(year: dict[str, pa.Table]) -> None:
    """Each table has the API's fields in its order, with its types and whole seconds."""
    instant = pa.timestamp("us", tz="UTC")
    assert {name: dict(zip(t.column_names, t.schema.types, strict=True)) for name, t in year.items()} == {
        "user_calls": {
            "from_number": pa.string(), "to_number": pa.string(), "user_name": pa.string(), "is_inbound": pa.int64(),
            "call_start_at": instant, "call_duration": pa.int64(), "call_finished_at": instant,
            "conversation_duration": pa.int64(),
        },
    } | {
        endpoint: {
            name: pa.string(), "callerid": pa.string(), "inbound_number": pa.string(), "call_start_at": instant,
            "call_answered_at": instant, "call_finished_at": instant, "answered_by_user_name": pa.string(),
            "status": pa.string(),
        }
        for endpoint, name in (("queue_calls", "queue_name"), ("ringgroup_calls", "ring_group_name"))
    }  # fmt: skip
    for table in year.values():
        for name in ("call_start_at", "call_finished_at"):
            assert not (table[name].cast(pa.int64()).to_numpy() % 1_000_000).any()


def test_a_year_has_every_kind_of_record(year: dict[str, pa.Table]) -> None:
    """The lists have every status with its nulls, both directions, talk and none, and every kind of hidden number."""
    for table in (year["queue_calls"], year["ringgroup_calls"]):
        patterns = zip(
            table["status"].to_pylist(),
            table["call_answered_at"].is_null().to_pylist(),
            table["answered_by_user_name"].is_null().to_pylist(),
            strict=True,
        )
        assert set(patterns) == {("answered", False, False), ("abandoned", True, True), ("timedout", True, True)}
        assert set(table["callerid"].unique().to_pylist()) > ANONYMOUS
    calls = year["user_calls"]
    talked = [duration > 0 for duration in calls["conversation_duration"].to_pylist()]
    assert set(zip(calls["is_inbound"].to_pylist(), talked, strict=True)) == {
        (0, True),
        (0, False),
        (1, True),
        (1, False),
    }
    assert set(calls["from_number"].unique().to_pylist()) > ANONYMOUS
    assert "Zoë Müller" in calls["user_name"].unique().to_pylist()
    assert "Vertrieb \u2013 Süd" in year["queue_calls"]["queue_name"].unique().to_pylist()


def test_rows_are_newest_first_within_the_days_and_in_order(year: dict[str, pa.Table]) -> None:
    """Rows are sorted by start, newest first; starts lie within the days; start ≤ answer ≤ end."""
    zone = read_zone("Australia/Sydney")
    first, last = (datetime(y, 1, 1, tzinfo=zone).timestamp() for y in (2025, 2026))
    for table in year.values():
        starts, ends = seconds(table["call_start_at"]), seconds(table["call_finished_at"])
        assert (np.diff(starts) <= 0).all()
        assert first <= starts[-1]
        assert starts[0] < last + 600  # an overflow, or a phone that starts to ring, may come a little later
        assert (starts <= ends).all()
        if "call_answered_at" in table.column_names:
            answers = seconds(table["call_answered_at"])
            answers = np.where(answers > 0, answers, starts)
            assert ((starts <= answers) & (answers <= ends)).all()
        else:
            assert (table["call_duration"].to_numpy() == ends - starts).all()
            assert (table["conversation_duration"].to_numpy() <= ends - starts).all()


def test_no_number_has_a_subscriber(year: dict[str, pa.Table]) -> None:
    """Every number comes from a range reserved for fiction, or is an extension of the centre, or is hidden."""
    extensions = set(staffed(CallCentre()).extensions.values())
    inside = {"from_number": extensions, "to_number": extensions}
    for table in year.values():
        for column in {"from_number", "to_number", "callerid", "inbound_number"}.intersection(table.column_names):
            hidden = ANONYMOUS if column in ("from_number", "callerid") else set()
            known = hidden | inside.get(column, set())
            assert all(n in known or RESERVED.fullmatch(n) for n in table[column].unique().to_pylist())


def visits_of(lists: dict[str, Rows]) -> Rows:
    """Queue and ring-group calls together, with the name in `place`."""
    return [
        row | {"place": row.get("queue_name") or row["ring_group_name"]}
        for row in lists["queue_calls"] + lists["ringgroup_calls"]
    ]


def test_answered_visits_are_inbound_calls_of_their_users(month: dict[str, Rows]) -> None:
    """Each answered visit is one inbound call of its user, equally long; the other inbound calls rang in vain."""
    visits = visits_of(month)
    numbers = {number for place in staffed(CallCentre()).places for number in place.numbers}
    answered = Counter(
        (v["answered_by_user_name"], v["callerid"], v["inbound_number"], v["call_finished_at"],
         (v["call_finished_at"] - v["call_answered_at"]).seconds)
        for v in visits if v["status"] == "answered"
    )  # fmt: skip
    brought = Counter(
        (c["user_name"], c["from_number"], c["to_number"], c["call_finished_at"], c["conversation_duration"])
        for c in month["user_calls"] if c["is_inbound"] and c["to_number"] in numbers
    )  # fmt: skip
    assert answered <= brought
    rang = brought - answered
    assert rang
    lost = {(v["callerid"], v["inbound_number"], v["call_finished_at"]) for v in visits if v["status"] != "answered"}
    assert all(talk == 0 and (caller, number, end) in lost for _, caller, number, end, talk in rang)


def test_nobody_talks_twice_at_once(month: dict[str, Rows]) -> None:
    """A user's conversations never overlap, in whichever list they are."""
    talks = defaultdict(list)
    for call in month["user_calls"]:
        began = call["call_finished_at"] - timedelta(seconds=call["conversation_duration"])
        if call["conversation_duration"]:
            talks[call["user_name"]].append((began, call["call_finished_at"]))
    assert len(talks) == len(staffed(CallCentre()).users)
    for spans in talks.values():
        spans.sort()
        assert all(end <= begins for (_, end), (begins, _) in pairwise(spans))


def test_nobody_is_idle_while_callers_wait(month: dict[str, Rows]) -> None:
    """While a caller waits, every member of the queue is in a call."""
    members = {place.name: place.members for place in staffed(CallCentre()).places}
    busy = defaultdict(list)
    for call in month["user_calls"]:
        busy[call["user_name"]].append((call["call_start_at"], call["call_finished_at"]))
    waited = [
        v for v in visits_of(month)
        if v["status"] == "timedout" and v["call_finished_at"] - v["call_start_at"] > timedelta(seconds=50)
    ][:200]  # fmt: skip
    assert waited
    for visit in waited:
        middle = visit["call_start_at"] + timedelta(seconds=5)
        for user in members[visit["place"]]:
            assert any(start <= middle <= end for start, end in busy[user]), (visit, user)


def test_timed_out_callers_go_on_to_the_overflow(month: dict[str, Rows]) -> None:
    """At a time-out the same caller enters the overflow on the same number in the same second, and nobody else does."""
    places = {place.name: place for place in staffed(CallCentre()).places}
    visits = visits_of(month)
    key = ("callerid", "inbound_number")
    left = Counter(
        (*(v[k] for k in key), v["call_finished_at"], places[v["place"]].overflow)
        for v in visits if v["status"] == "timedout" and places[v["place"]].overflow
    )  # fmt: skip
    entered = Counter(
        (*(v[k] for k in key), v["call_start_at"], v["place"])
        for v in visits if v["inbound_number"] not in places[v["place"]].numbers
    )  # fmt: skip
    assert left == entered
    assert {place for *_, place in entered} >= {"Sales", "Support", "Reception"}


def test_lost_callers_ring_again_and_are_called_back() -> None:
    """The set share of lost callers rings again within minutes, and free agents call known numbers back."""
    lists = {name: t.to_pylist() for name, t in simulate(CallCentre(days=120, anonymous_share=0.1)).items()}
    places = {place.name: place for place in staffed(CallCentre()).places}
    visits = [v for v in visits_of(lists) if v["callerid"] not in ANONYMOUS]
    tries, callbacks = defaultdict(list), defaultdict(list)
    for visit in visits:
        if visit["inbound_number"] in places[visit["place"]].numbers:
            tries[visit["callerid"], visit["inbound_number"]].append(visit["call_start_at"])
    for call in lists["user_calls"]:
        if not call["is_inbound"]:
            callbacks[call["to_number"]].append(call["call_start_at"])
    lost = [
        v for v in visits
        if v["status"] == "abandoned" or (v["status"] == "timedout" and not places[v["place"]].overflow)
    ]  # fmt: skip

    def followed(visit: dict[str, Any], starts: list[datetime], hours: float) -> bool:
        return any(timedelta() < at - visit["call_finished_at"] < timedelta(hours=hours) for at in starts)

    error = 0.5 / math.sqrt(len(lost))
    again = np.mean([followed(v, tries[v["callerid"], v["inbound_number"]], 1) for v in lost])
    called = np.mean([followed(v, callbacks[v["callerid"]], 6) for v in lost])
    assert abs(again - 0.35) < 4 * error
    assert 0.2 < called < 0.5 + 4 * error
    assert not ANONYMOUS & callbacks.keys()


def test_internal_calls_are_in_both_users_lists(month: dict[str, Rows]) -> None:
    """A call between users is outbound for one and inbound for the other, with the same numbers and times."""
    names = {extension: name for name, extension in staffed(CallCentre()).extensions.items()}
    halves: dict[int, Counter[Any]] = {0: Counter(), 1: Counter()}
    for call in month["user_calls"]:
        if call["from_number"] in names and call["to_number"] in names:
            assert call["user_name"] == names[call["to_number" if call["is_inbound"] else "from_number"]]
            halves[call["is_inbound"]][tuple(v for k, v in call.items() if k not in ("user_name", "is_inbound"))] += 1
    assert halves[0] == halves[1]
    assert halves[0]


def test_one_seed_one_history() -> None:
    """The same centre gives equal tables; another seed gives different tables."""
    centre = CallCentre(days=7)
    lists, again, other = simulate(centre), simulate(centre), simulate(replace(centre, seed=2))
    for name, table in lists.items():
        assert table.equals(again[name])
        assert not table.equals(other[name])


@pytest.mark.parametrize(("calls_per_day", "days"), [(60, 90), (600, 30), (10_000, 5)])
def test_staff_suits_the_volume(calls_per_day: float, days: int) -> None:
    """At any volume the default staff answers most calls and loses some, and the volume is the one set."""
    centre = CallCentre(calls_per_day=calls_per_day, days=days, first_day=date(2025, 2, 3))
    calls = simulate(centre)["queue_calls"]
    answered = calls["status"].to_pylist().count("answered") / calls.num_rows
    assert 0.8 < answered < 0.995
    firsts = simulate(replace(centre, redial_share=0.0))["queue_calls"].num_rows
    weeks = sum((1.2, 1.05, 0.95, 0.95, 0.85, 0.5, 0.3)[day % 7] for day in range(days))
    assert 0.95 < firsts / (calls_per_day * weeks) < 1.1  # overflow makes a few more visits than callers


def test_nobody_dials_after_the_last_day() -> None:
    """However many callers are lost before midnight, nobody rings again or calls back on the next day."""
    centre = CallCentre(days=1, calls_per_day=500, hour_weights=(1.0,) * 168, redial_share=1.0)
    few = (Queue("Few", ("+61255500000",), ("Zoë Müller",), patience_seconds=20.0, timeout_seconds=60.0),)
    lists = simulate(replace(centre, queues=few))
    midnight = datetime(2025, 1, 2, tzinfo=read_zone(centre.timezone))
    assert lists["queue_calls"]["call_start_at"][0].as_py() < midnight
    assert all(c["call_start_at"] < midnight for c in lists["user_calls"].to_pylist() if not c["is_inbound"])


def test_no_days_no_calls() -> None:
    """A centre with no days gives the same tables without rows."""
    lists, some = simulate(CallCentre(days=0)), simulate(CallCentre(days=1))
    assert all(table.num_rows == 0 and table.schema == some[name].schema for name, table in lists.items())


def test_a_year_takes_seconds() -> None:
    """The simulation of a year with 200,000 queue calls takes less than 15 s of processor time."""
    began = time.process_time()
    assert simulate(CallCentre(calls_per_day=650))["queue_calls"].num_rows > 200_000
    assert time.process_time() - began < 15


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"hour_weights": (1.0,) * 24}, "168"),
        ({"queues": (Queue("A", (), ("X",), overflow="B"),)}, "no queue or ring group has that name"),
        ({"queues": (Queue("A", (), ("X",), overflow="B"), Queue("B", (), ("X",), overflow="A"))}, "circle"),
        ({"queues": (Queue("A", (), ("X",)), Queue("A", (), ("X",)))}, "one name"),
        ({"queues": (Queue("A", (), (), patience_seconds=math.inf),)}, "wait for ever"),
        ({"office": tuple(map(str, range(9001)))}, "9001 users"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change: dict[str, Any], complaint: str) -> None:
    """A centre that cannot be simulated is refused with the reason."""
    with pytest.raises(ValueError, match=complaint):
        CallCentre(**change)
