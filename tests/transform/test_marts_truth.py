"""Every number in every mart, on both engines, against a computation that shares nothing with the SQL."""

import math
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from operator import itemgetter
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipelines.sandbox.callcentre import simulate
from tests.support.erlang import erlang_a, plain
from tests.support.marts_truth import compute_marts
from tests.support.marts_truth.calls import Row
from tests.support.marts_truth.nights import two_nights
from tests.support.marts_truth.peaks import talking_span, waiting_span
from tests.support.marts_truth.queues import QUEUE
from tests.support.marts_truth.records import ACCOUNTS
from tests.support.marts_truth.warehouses import Mart, as_arrow, build, copy_project, fill, read_mart, read_seeds
from tests.support.models_warehouses import Warehouse, empty_warehouse, statements

pytestmark = pytest.mark.timeout(600)  # on a machine busy with other things the four builds alone may take minutes
ENGINES = ("duckdb", "postgres")
SECOND, QUARTER = timedelta(seconds=1), timedelta(minutes=15)
CALL = (*QUEUE, "caller_number", "inbound_number", "entered_at")
KEYS = {  # what tells a mart's rows apart, or nearly: calls may be alike
    "queue_calls": (*CALL, "finished_at", "outcome", "answered_by"),
    "user_calls": ("account", "direction", "caller_number", "called_number", "user_name", "started_at", "finished_at"),
    "queue_intervals": (*QUEUE, "interval_start_at"),
    "queue_hours": (*QUEUE, "hour_start_at"),
    "queue_days": (*QUEUE, "local_date"),
    "queue_weeks": (*QUEUE, "week_start_date"),
    "queue_months": (*QUEUE, "month_start_date"),
    "account_days": ("account", "local_date"),
    "queue_hour_of_week": (*QUEUE, "iso_weekday", "local_hour"),
    "queue_wait_buckets": (*QUEUE, "local_date", "outcome", "bucket_start_seconds"),
    "agent_days": ("account", "user_name", "local_date"),
    "inbound_number_days": ("account", "inbound_number", "local_date"),
    "lost_calls": (*CALL, "outcome", "wait_seconds"),
    "caller_journeys": ("account", "caller_number", "inbound_number", "started_at"),
    "load_health": ("account", "endpoint"),
    "restatements": (*QUEUE, "local_date"),
    "dates": ("calendar_date",),
}

KINDS = {
    "_at": {"timestamp with time zone"},
    "_date": {"date"},
    "_rate": {"double", "double precision"},
    "_count": {"bigint"},
}


@dataclass(frozen=True)
class Compared:
    """What the SQL made of the records on each engine, and what plain Python made of them."""

    warehouses: dict[str, Warehouse]  # by engine
    truth: dict[str, list[Row]]

    def read(self, mart: str) -> dict[str, Mart]:
        """A mart as each engine built it."""
        return {engine: read_mart(warehouse, mart) for engine, warehouse in self.warehouses.items()}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with seeds that treat queues differently."""
    return copy_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def compared(project: Path) -> Compared:
    """Two nights' loads, the models built after each on both engines at once, while the truth is computed."""
    nights = two_nights(ACCOUNTS)
    first, second = as_arrow(nights.first), as_arrow(nights.second)

    def build_nights(warehouse: Warehouse) -> None:
        fill(warehouse, first)
        build(project, warehouse, "build", "--exclude-resource-type", "unit_test", "test")
        fill(warehouse, second)
        build(project, warehouse)

    warehouses = {engine: empty_warehouse(engine, project) for engine in ENGINES}
    with ThreadPoolExecutor() as pool:
        built = pool.map(build_nights, warehouses.values())
        truth = compute_marts(nights.second, read_seeds(), nights.first)
        list(built)  # raises what went wrong
    return Compared(warehouses, truth)


def differences(mart: str, expected: Mart, got: Mart) -> list[str]:
    """How a mart's rows differ in the columns that are expected; floats agree to 1e-9 of themselves."""
    if missing := set(expected.columns) - set(got.columns):
        return [f"{mart} has no column {', '.join(sorted(missing))}"]
    ours, theirs = (by_key(which, KEYS[mart], expected.columns) for which in (expected, got))
    found = [f"{mart} lacks {row}" for row in ours if row not in theirs]
    found += [f"{mart} has no business with {row}" for row in theirs if row not in ours]
    for row in ours.keys() & theirs.keys():
        one, other = ours[row], theirs[row]
        if one != other:
            one, other = sorted(one, key=repr), sorted(other, key=repr)
            if len(one) != len(other):
                found.append(f"{mart} {row}: {len(other)} rows for {len(one)}")
            for values in zip(one, other, strict=False):
                for name, mine, its in zip(expected.columns, *values, strict=True):
                    if not alike(mine, its):
                        found.append(f"{mart}.{name} {row}: {its!r} for {mine!r}")
    return found


def by_key(mart: Mart, key: tuple[str, ...], columns: tuple[str, ...]) -> dict[Any, list[tuple[Any, ...]]]:
    """Some columns of the rows, by what tells the rows apart."""
    found: dict[Any, list[tuple[Any, ...]]] = {}
    told_apart, chosen = (itemgetter(*map(mart.columns.index, names)) for names in (key, columns))
    for row in mart.rows:
        found.setdefault(told_apart(row), []).append(chosen(row))
    return found


def read_column(mart: Mart, name: str) -> list[Any]:
    """One column of all rows."""
    return [*map(itemgetter(mart.columns.index(name)), mart.rows)]


def alike(one: Any, other: Any) -> bool:
    """Whether two values are equal, but for a float's last bits."""
    if isinstance(one, float) and other is not None:
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=0.0)
    return bool(one == other)


def as_mart(rows: list[Row]) -> Mart:
    """Computed rows in a mart's form: without the working columns, and with instants as naive UTC."""
    columns = [name for name in rows[0] if not name.startswith("_")]
    instants = [place for place, name in enumerate(columns) if name.endswith("_at")]
    told = []
    for row in map(itemgetter(*columns), rows):
        values = [*row]
        for place in instants:
            values[place] = values[place] and values[place].replace(tzinfo=None)
        told.append(tuple(values))
    return Mart(tuple(columns), told)


def test_the_records_hold_what_is_hard(compared: Compared) -> None:
    """There are 100,000 queue calls in five zones, and among them every case that could go wrong."""
    calls = compared.truth["queue_calls"]
    assert len(calls) > 100_000
    assert min(Counter(call["account"] for call in calls).values()) > 19_000
    outcomes = Counter(call["outcome"] for call in calls)
    assert outcomes.keys() == {"answered", "abandoned", "timedout", "other", "in_progress"}
    assert min(outcomes.values()) > 50
    for account in ACCOUNTS:
        shifts = {call["_utc_offset"] for call in calls if call["account"] == account.name}
        assert len(shifts) == (2 if account.changes else 1)
    hours = Counter(
        (row["account"], *(row[name] for name in QUEUE), row["hour_start_local"])
        for row in compared.truth["queue_hours"]
    )
    assert {account for (account, *_), n in hours.items() if n == 2} == {a.name for a in ACCOUNTS if a.changes}
    for name in ("is_repeat", "is_short_abandon", "is_within_target", "is_anonymous", "is_in_hours"):
        assert {call[name] for call in calls} == {True, False}
    assert {row["recovered_by"] for row in compared.truth["lost_calls"]} == {"callback", "called_again", None}
    assert {True, False} == {row["is_open"] for row in compared.truth["lost_calls"]}
    assert max(row["visits_count"] for row in compared.truth["caller_journeys"]) >= 3
    assert compared.truth["restatements"]
    unplaced = {(row["endpoint"], row["unplaced_count"]) for row in compared.truth["load_health"]}
    assert unplaced == {("user_calls", 0), ("queue_calls", 4), ("ringgroup_calls", 0)}


@pytest.mark.parametrize("mart", KEYS)
def test_every_mart_equals_the_computation(compared: Compared, mart: str) -> None:
    """Row by row, a mart holds what the definitions say of the raw records, and is the same on both engines."""
    duckdb, postgres = compared.read(mart).values()
    assert_no_differences("duckdb", differences(mart, as_mart(compared.truth[mart]), duckdb))
    assert duckdb.columns == postgres.columns
    assert_no_differences("postgres against duckdb", differences(mart, duckdb, postgres))


def assert_no_differences(where: str, found: list[str]) -> None:
    """Shows the first of them."""
    assert not found, f"{where}: {len(found)} differences:\n" + "\n".join(found[:20])


def test_every_call_has_an_identity(compared: Compared) -> None:
    """No two rows of queue_calls share a queue_call_id, however alike, and each lost call is one of them."""
    for all_calls, all_lost in zip(
        *(compared.read(mart).values() for mart in ("queue_calls", "lost_calls")), strict=True
    ):
        calls, lost = (read_column(mart, "queue_call_id") for mart in (all_calls, all_lost))
        assert len({*calls}) == len(calls)
        assert {*lost} < {*calls}
        assert len({*lost}) == len(lost)


@pytest.mark.parametrize(
    ("count", "warning"),
    [("other_count", "calls with an unknown status"), ("unplaced_count", "records without a start")],
)
def test_what_is_wrong_warns(compared: Compared, count: str, warning: str) -> None:
    """load_health's warnings say how many calls ended as the article does not know, and how many records have no start,
    where there are any and only there."""
    for health in compared.read("load_health").values():
        for found, warnings in zip(*(read_column(health, name) for name in (count, "warnings")), strict=True):
            assert (f"{found} {warning}" in (warnings or "")) == (found > 0)


def test_peaks_are_those_of_every_second(compared: Compared) -> None:
    """In the queue with most changes of clocks and midnights, peaks are the most calls in any one second, counted."""
    mart = compared.read("queue_intervals")["duckdb"]
    names = ("account", "queue_kind", "queue_name", "interval_start_at", "peak_waiting_count", "peak_talking_count")
    shown = {row[:4]: row[4:] for row in map(itemgetter(*map(mart.columns.index, names)), mart.rows)}
    for account in ACCOUNTS[:2]:
        queue = (account.name, "queue", "Support")
        first, last = account.opens_at, account.opens_at + timedelta(days=25)
        calls = [call for call in compared.truth["queue_calls"] if tuple(call[name] for name in QUEUE) == queue]
        calls = [call for call in calls if first <= call["entered_at"] < last]
        counted = [count_seconds(map(span, calls)) for span in (waiting_span, talking_span)]
        for at in {at for seconds in counted for at in seconds if at < last - timedelta(days=1)}:
            expected = tuple(seconds.get(at, 0) for seconds in counted)
            assert shown[*queue, at.replace(tzinfo=None)] == expected, (queue, at)


def count_seconds(spans: Any) -> dict[datetime, int]:
    """By quarter of an hour, the most spans in any of its seconds, each second counted by itself."""
    seconds: Counter[datetime] = Counter()
    for span in filter(None, spans):
        seconds.update(span[0] + n * SECOND for n in range((span[1] - span[0]) // SECOND))
    peaks: dict[datetime, int] = {}
    for at, n in seconds.items():
        quarter = at - timedelta(minutes=at.minute % 15, seconds=at.second)
        peaks[quarter] = max(peaks.get(quarter, 0), n)
    return peaks


@pytest.mark.parametrize("engine", ENGINES)
def test_every_mart_is_checked_and_names_tell_types(compared: Compared, engine: str) -> None:
    """The marts built are those compared; instants, dates, counts and rates are what the names' endings say."""
    with statements(compared.warehouses[engine]) as execute:
        columns = execute(
            "select table_name, column_name, lower(data_type) from information_schema.columns"
            " where table_schema = 'marts'"
        )
    assert {mart for mart, _, _ in columns} == KEYS.keys()
    for mart, name, kind in columns:
        for ending, kinds in KINDS.items():
            assert not name.endswith(ending) or kind in kinds, f"{mart}.{name} is {kind}"


def test_fewer_agents_lose_what_erlang_a_says(project: Path, tmp_path: Path) -> None:
    """With 11, 9 and 7 agents for 9 erlangs, account_days shows Erlang A's abandonment within 3.5 standard errors."""
    agents_of = {f"agents {agents}": agents for agents in (7, 9, 11)}
    calls, accounts = [], []
    for name, agents in agents_of.items():
        table = simulate(replace(plain(agents, 9.0, patience_hours=0.5), days=150))["queue_calls"]
        days = pc.cast(table["call_start_at"], pa.date32())
        calls.append(table.append_column("account", pa.repeat(name, len(table))).append_column("call_day", days))
        accounts.append({"account": name, "timezone": "UTC"})
    warehouse = empty_warehouse("duckdb", tmp_path)
    fill(warehouse, {"queue_calls": pa.concat_tables(calls), "accounts": pa.Table.from_pylist(accounts)})
    build(project, warehouse, "build", "--select", "+account_days", "--exclude-resource-type", "unit_test", "test")
    with statements(warehouse) as execute:
        shown = execute("select account, abandoned_count, offered_count from marts.account_days order by local_date")
    lost = []
    for name, agents in agents_of.items():
        settled = [(abandoned, offered) for account, abandoned, offered in shown if account == name][10:]
        weeks = [settled[n : n + 5] for n in range(0, len(settled), 5)]
        rates = [sum(day[0] for day in week) / sum(day[1] for day in week) for week in weeks]
        error = stdev(rates) / math.sqrt(len(rates))
        _, theory, _ = erlang_a(agents, 9.0, 0.5)
        assert error < 0.1 * theory
        assert abs(fmean(rates) - theory) < 3.5 * error, (agents, fmean(rates), theory, error)
        lost.append(fmean(rates))
    assert lost[0] > lost[1] > lost[2]
