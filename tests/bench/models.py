"""How long the models take, by themselves: `python -m tests.bench.models [calls]`, 10,000,000 queue calls by default.

Two histories with the same number of calls a day, one ten times as long: what a full build costs, and what a night
costs on top of either.
"""

import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from multiprocessing import get_context
from pathlib import Path
from string import Template

import duckdb

from pipelines.transform import build_models, create_missing_raw
from tests.support.models_warehouses import Warehouse

CALLS_A_DAY = 10_000
QUEUES = 20
NIGHTS = 3  # of each, the cheapest counts: others may use the machine
LONGEST_SECONDS = 1800.0  # a build that takes longer has failed
LAST_DAY = date(2026, 6, 30)
# One call in seven goes to a ring group; one in ten is told by the users' list alone.
ROWS = Template("""
    insert into raw.$table by name
    select
        'main' as account,
        cast(start_at as date) as call_day,
        timestamptz '2026-07-01 03:00:00+00' as loaded_at,
        $columns,
        start_at as call_start_at
    from (
        select
            *,
            timestamptz '$first_day 00:00:00+00'
            + cast(floor(call / $calls_a_day) as integer) * interval 1 day
            + cast(25200 + 43200 * (hash(call) % 100000) / 100000.0 as integer) * interval 1 second as start_at,
            hash(call, 1) % 100 as luck,
            cast(hash(call, 2) % 60 as integer) as wait,
            cast(30 + hash(call, 3) % 400 as integer) as talk,
            '+6125550' || lpad(cast(hash(call, 4) % 200000 as text), 6, '0') as caller
        from range($calls) as calls (call)
    )
""")
VISIT = """
        case when luck = 0 then 'anonymous' else caller end as callerid,
        '+612555001' || lpad(cast(call % 20 as text), 2, '0') as inbound_number,
        case when luck < 88 then 'answered' when luck < 97 then 'abandoned' else 'timedout' end as status,
        case when luck < 88 then start_at + wait * interval 1 second end as call_answered_at,
        case when luck < 88 then start_at + (wait + talk) * interval 1 second
            else start_at + wait * interval 1 second end as call_finished_at,
        case when luck < 88 then 'user ' || cast(call % 60 as text) end as answered_by_user_name
"""
COLUMNS = {
    "queue_calls": f"'queue ' || cast(call % {QUEUES} as text) as queue_name, {VISIT}",
    "ringgroup_calls": f"'group ' || cast(call % 5 as text) as ring_group_name, {VISIT}",
    "user_calls": """
        caller as from_number,
        '10' || cast(call % 60 as text) as to_number,
        'user ' || cast(call % 60 as text) as user_name,
        call % 3 > 0 as is_inbound,
        talk + wait as call_duration,
        case when luck < 70 then talk else 0 end as conversation_duration,
        start_at + (talk + wait) * interval 1 second as call_finished_at
    """,
}
SHARE = {"queue_calls": 0.86, "ringgroup_calls": 0.14, "user_calls": 0.3}


def store_history(path: Path, calls: int, first_day: date) -> None:
    """Store `calls` queue and ring-group calls, `CALLS_A_DAY` a day from `first_day`, and user calls beside them."""
    days = calls // CALLS_A_DAY
    with duckdb.connect(str(path)) as connection:
        for table, columns in COLUMNS.items():
            a_day = int(CALLS_A_DAY * SHARE[table])
            values = {"calls": a_day * days, "calls_a_day": a_day, "first_day": first_day}
            connection.execute(ROWS.substitute(table=table, columns=columns, **values))
        connection.execute("delete from raw.loaded_days; delete from raw.accounts")
        connection.execute("insert into raw.accounts by name select 'main' as account, 'Australia/Sydney' as timezone")
        connection.execute(
            """
            insert into raw.loaded_days by name
            select account, endpoint, call_day, max(loaded_at) as loaded_at, count(*) as calls_count,
                0 as rejected_count, 0 as unfinished_count, true as is_settled
            from (
                select account, 'queue_calls' as endpoint, call_day, loaded_at from raw.queue_calls union all
                select account, 'ringgroup_calls' as endpoint, call_day, loaded_at from raw.ringgroup_calls union all
                select account, 'user_calls' as endpoint, call_day, loaded_at from raw.user_calls
            )
            group by all
            """
        )


def touch_last_days(path: Path) -> None:
    """Mark the last two days as loaded again, as a night's load leaves them."""
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "update raw.loaded_days set loaded_at = loaded_at + interval 1 day where call_day >= ?",
            [LAST_DAY - timedelta(days=1)],
        )


@dataclass(frozen=True)
class Cost:
    """What one build took: seconds on the wall, seconds of both cores, gibibytes at its peak."""

    wall_seconds: float
    cpu_seconds: float
    peak_gib: float

    def __str__(self) -> str:
        return f"{self.wall_seconds:6.1f} s, {self.cpu_seconds:6.1f} s of CPU, {self.peak_gib:.2f} GiB"


def build(path: Path, folder: Path, *, detailed: bool) -> Cost:
    """One build's cost, in a process of its own; `detailed` prints the models that took longest."""
    started = time.perf_counter()
    results = build_models(Warehouse("duckdb", str(path)), folder / "dbt")
    wall, used = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    if detailed:
        for result in sorted(results, key=lambda result: -result.seconds)[:12]:
            print(f"    {result.model:32} {result.rows or 0:>12,} rows {result.seconds:8.2f} s", flush=True)
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20)


def measured(path: Path, folder: Path, *, detailed: bool = False) -> Cost:
    """The cost of a build in a new process, after which the next one is a night's."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        cost = pool.submit(build, path, folder, detailed=detailed).result(LONGEST_SECONDS)
    touch_last_days(path)
    return cost


def main() -> None:
    """Print what both histories cost, and the ratio of their nights, measured by turns."""
    longest = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    nights: dict[int, list[Cost]] = {longest // 10: [], longest: []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for calls in nights:
            path = folder / f"{calls}.duckdb"
            create_missing_raw(Warehouse("duckdb", str(path)))
            store_history(path, calls, LAST_DAY - timedelta(days=calls // CALLS_A_DAY - 1))
            full = measured(path, folder, detailed=calls == longest)
            asked = "  (asked: under 120 s on two cores, under 4 GiB)" if calls == 10_000_000 else ""
            print(f"{calls:>12,} queue calls, full build: {full}{asked}", flush=True)
        for night in range(2 * NIGHTS):
            calls = list(nights)[night % 2]
            nights[calls].append(measured(folder / f"{calls}.duckdb", folder, detailed=night == 2 * NIGHTS - 1))
    short, long = (min(costs, key=lambda cost: cost.cpu_seconds) for costs in nights.values())
    for calls, cost in zip(nights, (short, long), strict=True):
        print(f"{calls:>12,} queue calls, a night:    {cost}")
    print(
        f"A night on the longer history costs {long.cpu_seconds / short.cpu_seconds:.2f} times the CPU and "
        f"{long.wall_seconds / short.wall_seconds:.2f} times the time  (asked: under 1.5)"
    )


if __name__ == "__main__":
    main()
