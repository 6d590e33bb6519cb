"""The report's figures are the calls', for every queue and period, on both engines; what its file may hold."""

import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import pytest

from pipelines.publish.reader import Row, open_marts
from pipelines.report import make_report, write_report
from pipelines.report.definitions import read_definitions
from pipelines.report.figures import BUCKETS
from pipelines.report.html import read_data
from pipelines.report.periods import Calendar, Span, last_whole_date, list_periods, read_calendar
from pipelines.transform import create_missing_raw
from pipelines.warehouse import Target
from tests.support.models_data import ENDPOINTS, ZONES, random_day, store_accounts, store_days
from tests.support.models_warehouses import empty_warehouse, statements
from tests.support.report_data import publish_history
from tests.support.site import Site

LOADED_AT = datetime(2026, 5, 8, 12, tzinfo=UTC)  # 8 May everywhere: the 7th is the last whole day
FIRST, DAYS = date(2026, 3, 27), 43  # around both changes of the clocks
HOSTILE = "</script><script>alert('1')</script> & \"Süd\" \u2028 <!--"
NUMBER = re.compile(r"\+?6125550\d{4}|\+?61255500\d{3}")

Published = tuple[Target, dict[str, Any], dict[str, list[Row]]]


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def published(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Published:
    """Six weeks of random calls of three accounts, published: the report's data, and the marts of calls themselves."""
    folder, random = tmp_path_factory.mktemp(request.param), Random(5)
    warehouse = empty_warehouse(request.param, folder)
    create_missing_raw(warehouse)
    with statements(warehouse) as execute:
        store_accounts(execute, ZONES)
        days = [(account, FIRST + timedelta(days=n)) for account in ZONES for n in range(DAYS)]
        for endpoint in ENDPOINTS:
            rows = {whose: random_day(random, endpoint, whose[1], 12) for whose in days}
            for call in rows["sydney", FIRST] if endpoint == "queue_calls" else ():
                call["queue_name"] = HOSTILE
            store_days(execute, endpoint, rows, LOADED_AT)
    target = Target(request.param, warehouse.credentials)
    publish_history(target, folder / "dbt")
    with open_marts(target) as query:
        data = read_data(query, read_definitions(query, target), show_numbers=False)
        marts = {name: query(f"select * from marts.{name}") for name in ("queue_calls", "lost_calls")}  # noqa: S608
    return target, data, marts


def chosen(rows: list[Row], scope: dict[str, Any], span: Span) -> list[Row]:
    """The calls of a scope that entered in a span."""
    wanted = {"account": scope["account"], "queue_kind": scope["kind"], "queue_name": scope["queue"]}
    wanted = {name: value for name, value in wanted.items() if value is not None}
    return [
        row
        for row in rows
        if span.first <= row["local_date"] <= span.last and all(row[name] == value for name, value in wanted.items())
    ]


def choices(data: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]:
    """Every scope and period, and the scope's figures."""
    for scope in data["scopes"]:
        for period in data["periods"]:
            yield scope, period, data["cube"][scope["key"]]


def summarize(calls: list[Row]) -> dict[str, Any]:
    """What the definitions say of some calls."""
    offered = [call for call in calls if call["outcome"] != "in_progress"]
    waits = [call["wait_seconds"] for call in offered if call["wait_seconds"] is not None]
    answered = [call for call in offered if call["outcome"] == "answered"]
    known = [call["wait_seconds"] for call in answered if call["wait_seconds"] is not None]
    return {
        "offered_count": len(offered),
        "answered_count": len(answered),
        "abandoned_count": sum(call["outcome"] == "abandoned" for call in offered),
        "timedout_count": sum(call["outcome"] == "timedout" for call in offered),
        "answered_within_target_count": sum(wait <= 20 for wait in known),
        "wait_answered_count": len(known),
        "wait_answered_total_seconds": sum(known),
        "longest_wait_seconds": max(waits, default=None),
    }


def test_the_marts_are_there_to_be_reported(published: Published) -> None:
    """The data has every kind of choice: all, three accounts, queues and ring groups, and seven periods to 7 May."""
    _, data, _ = published
    kinds = {(scope["account"] is None, scope["kind"]) for scope in data["scopes"]}
    assert kinds == {(True, None), (False, None), (False, "queue"), (False, "ring_group")}
    assert (data["as_of"], data["is_whole"], data["behind"]) == (date(2026, 5, 7), True, [])
    keys = [period["key"] for period in data["periods"]]
    assert keys == ["day", "days7", "days28", "all", "2026-05", "2026-04", "2026-03"]
    assert data["period"] == "days28"


def test_summaries_are_the_calls(published: Published) -> None:
    """Counts, sums and the longest wait of each choice, and of the period before it, are its calls' own."""
    _, data, marts = published
    compared = 0
    for scope, period, figures in choices(data):
        for key, span in ((period["key"], period["span"]), (f"{period['key']} before", period["before"])):
            if span is None:
                continue
            expected = summarize(chosen(marts["queue_calls"], scope, Span(**span)))
            got = figures["summary"].get(key)
            assert list(expected.values()) == (got or [0] * 7 + [None]), (scope["key"], key)
            compared += got is not None
    assert compared > 80


def test_lost_callers_are_different_people(published: Published) -> None:
    """Callers are counted once however often, and in whichever queues, they were lost; the total is no sum."""
    _, data, marts = published
    sums_differ = False
    for scope, period, figures in choices(data):
        lost = chosen(marts["lost_calls"], scope, Span(**period["span"]))
        callers = {(call["account"], call["caller_number"]) for call in lost}
        left = {(call["account"], call["caller_number"]) for call in lost if call["recovered_at"] is None}
        assert [len(callers), len(left)] == figures["lost"].get(period["key"], [0, 0]), (scope["key"], period["key"])
        sums_differ |= len(callers) < len(lost)
    assert sums_differ


def test_what_was_not_known_a_week_ago_is_not_compared(published: Published) -> None:
    """Callers of the period before count as reached only if they were within the time that this period has had."""
    _, data, marts = published
    total = data["scopes"][0]
    week = next(period for period in data["periods"] if period["key"] == "days7")
    lost = chosen(marts["lost_calls"], total, Span(**week["before"]))
    until = LOADED_AT - timedelta(days=7)
    late = [call for call in lost if call["recovered_at"] is None or call["recovered_at"] > until]
    callers = {(call["account"], call["caller_number"]) for call in late}
    assert data["cube"]["*"]["lost"]["days7 before"][1] == len(callers)


def test_the_usual_day_is_a_median(published: Published) -> None:
    """The usual figures are medians over the same weekday of the four weeks before, a day without calls among them."""
    _, data, marts = published
    for scope in data["scopes"]:
        days = [date(2026, 5, 7) - timedelta(weeks=n) for n in (1, 2, 3, 4)]
        found = [summarize(chosen(marts["queue_calls"], scope, Span(day, day))) for day in days]
        usual = data["cube"][scope["key"]]["usual"]
        assert usual["offered"] == median(day["offered_count"] for day in found)
        rates = [day["abandoned_count"] / day["offered_count"] for day in found if day["offered_count"]]
        assert usual["abandonment"] == (pytest.approx(median(rates)) if rates else None)
        assert usual["days"] == 4


def test_trends_patterns_and_waits_add_up(published: Published) -> None:
    """Each chart of a choice holds each of its calls once, in the day, the hour of the week and the bucket it is in."""
    _, data, marts = published
    for scope, period, figures in choices(data):
        span = Span(**period["span"])
        calls = [call for call in chosen(marts["queue_calls"], scope, span) if call["outcome"] != "in_progress"]
        if period["grain"] == "day" and "trend" in figures:
            trend = dict(zip(data["steps"]["day"], figures["trend"]["day"]["offered_count"], strict=True))
            for day in (span.first, span.last):
                assert trend[day] == sum(call["local_date"] == day for call in calls)
        cells: dict[int, int] = {}
        for call in calls:
            local = call["entered_at_local"]
            cells[local.weekday() * 24 + local.hour] = cells.get(local.weekday() * 24 + local.hour, 0) + 1
        pattern = {cell: offered for cell, offered, *_ in figures["pattern"].get(period["key"], []) if offered}
        assert pattern == cells, (scope["key"], period["key"])
        for outcome, counts in figures["waits"].get(period["key"], {}).items():
            waits = [call["wait_seconds"] for call in calls if call["outcome"] == outcome]
            places = [max(n for n, start in enumerate(BUCKETS) if start <= wait) for wait in waits if wait is not None]
            assert counts == [places.count(place) for place in range(len(BUCKETS))]


def test_agents_answered_what_the_queues_answered(published: Published) -> None:
    """The agents of a choice answered all of its answered calls, with the waits and talks that those had."""
    _, data, marts = published
    for scope, period, figures in choices(data):
        calls = chosen(marts["queue_calls"], scope, Span(**period["span"]))
        answered = [call for call in calls if call["outcome"] == "answered"]
        agents = figures["agents"].get(period["key"], [])
        assert sum(agent[1] for agent in agents) == len(answered)
        assert sum(agent[5] for agent in agents) == sum(call["talk_seconds"] or 0 for call in answered)
        assert [agent[1] for agent in agents] == sorted((agent[1] for agent in agents), reverse=True)


def test_callers_to_call_back(published: Published) -> None:
    """Every open lost call is in the list, one row a caller, and each row has the queues that lost him."""
    _, data, marts = published
    still = [call for call in marts["lost_calls"] if call["is_open"]]
    listed = data["callbacks"]["listed"]
    assert len(listed) == len({(call["account"], call["caller_number"]) for call in still}) > 3
    assert sum(row["calls"] for row in listed) == len(still)
    assert max(len(row["scopes"]) for row in listed) > 1


def test_numbers_are_not_in_the_file_unless_asked_for(published: Published) -> None:
    """Without --show-numbers no caller's number stands anywhere in the file; with it, those to call back do."""
    target, _, marts = published
    assert not NUMBER.search(make_report(target))
    shown = set(NUMBER.findall(make_report(target, show_numbers=True)))
    assert shown == {call["caller_number"] for call in marts["lost_calls"] if call["is_open"]}


def test_a_queue_may_be_called_anything(published: Published) -> None:
    """A name with markup in it ends no script, and is read back as it is."""
    target, _, _ = published
    page = make_report(target)
    block = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert block
    assert not set("<>&") & set(block[1])  # nothing that HTML could take for its own
    assert HOSTILE in {scope["queue"] for scope in json.loads(block[1])["scopes"]}


def test_definitions_are_the_marts_own(published: Published) -> None:
    """What stands under a number is the comment on its column."""
    _, data, _ = published
    assert data["definitions"]["queue_days.abandonment_rate"].startswith("abandoned / offered, 0 to 1")
    assert data["definitions"]["lost_calls.is_open"].startswith("Not recovered")


@pytest.mark.parametrize(
    ("loaded", "last_day", "offset_hours", "expected"),
    [
        ("2026-03-10 16:30", "2026-03-10", 11, "2026-03-10"),  # 03:30 of the 11th in Sydney
        ("2026-03-10 12:30", "2026-03-10", 11, "2026-03-09"),  # 23:30 of the 10th: not over yet
        ("2026-03-10 02:15", "2026-03-10", 0, "2026-03-09"),
        ("2026-03-10 02:15", "2026-03-10", -3.5, "2026-03-08"),  # 22:45 of the 9th in Newfoundland
        ("2026-03-10 16:30", "2026-02-01", 11, "2026-02-01"),  # old days were read again, the newest never
        ("2026-03-10 16:30", "2026-02-01", -8, "2026-01-31"),  # whose evening lies in a UTC day that was not read
    ],
)
def test_the_last_whole_date(loaded: str, last_day: str, offset_hours: float, expected: str) -> None:
    """A date is whole once it had ended where the account is, and every UTC day that it lies in was read."""
    at, day = datetime.fromisoformat(f"{loaded}+00:00"), date.fromisoformat(last_day)
    assert last_whole_date(at, day, timedelta(hours=offset_hours)) == date.fromisoformat(expected)


def test_an_account_that_stopped_does_not_hold_the_others_back() -> None:
    """The report goes to the last date that all have, but for accounts days behind; a first day is taken as it is."""
    first, newest, today = date(2026, 1, 1), date(2026, 3, 10), date(2026, 3, 9)
    found = read_calendar(first, newest, [today, today - timedelta(days=1), date(2026, 2, 1)], LOADED_AT)
    assert found == Calendar(first, date(2026, 3, 8), True, LOADED_AT)
    assert read_calendar(newest, newest, [today], LOADED_AT) == Calendar(newest, newest, False, LOADED_AT)


@pytest.mark.parametrize("days", [1, 2, 7, 8, 28, 29, 45, 92, 365, 400, 731, 732, 1826])
def test_periods_of_any_history(days: int) -> None:
    """However long the history: no period leaves it, none is offered twice, comparisons are with whole days of it."""
    last = date(2026, 3, 9)
    history = Span(last - timedelta(days=days - 1), last)
    periods = list_periods(Calendar(history.first, last, True, LOADED_AT))
    assert len({period.key for period in periods}) == len(periods)
    for period in periods:
        assert history.first <= period.span.first <= period.span.last <= last, period
        assert period.before is None or history.first <= period.before.first <= period.before.last < period.span.first
        assert sum(period.weekdays()) == period.span.days
        assert period.span.days <= {"hour": 1, "day": 92, "week": 731, "month": 10**6}[period.grain]
    assert next(period for period in periods if period.key == "all").span == history


def test_the_command(make_site: Callable[..., Site], published: Published, tmp_path: Path) -> None:
    """`calls report` writes one file of the user's alone where it is told to, and says what to do without marts."""
    target, _, _ = published
    site = make_site()
    missing = site.run("report")
    assert (missing.code, missing.out) == (1, "")
    assert "Nothing has been published yet" in missing.err
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(f"DESTINATION__{target.engine.upper()}__CREDENTIALS", target.credentials)
        out = tmp_path / "new" / "calls.html"
        ran = site.run("report", "--destination", target.engine, "--out", str(out))
        nowhere = site.run("report", "--destination", target.engine, "--out", str(out / "below" / "a_file.html"))
    assert (ran.code, ran.out) == (0, f"The report: {out}\n")
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert (nowhere.code, "cannot be written" in nowhere.err) == (1, True)
    assert [path.name for path in out.parent.iterdir()] == ["calls.html"]
    before = os.umask(0o022)  # a caller who does not guard what it writes
    try:
        assert stat.S_IMODE(write_report(target, tmp_path / "report.html").stat().st_mode) == 0o600
    finally:
        os.umask(before)
