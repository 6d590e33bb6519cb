"""How long the models take, by themselves: `python -m tests.bench_models [calls]`, 1,000,000 queue calls by default.

Two histories with the same number of calls a day, one ten times as long: what a full build costs, and what a night
costs on top of either.
"""

import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path
from string import Template

import duckdb

from pipelines.models import build_models, create_missing_raw
from tests.models_warehouses import Warehouse

CALLS_A_DAY = 10_000
QUEUES = 20
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


def measure(calls: int, folder: Path, *, detailed: bool = False) -> tuple[float, float]:
    """Seconds of a full build over `calls` queue calls, and of a night's build on top of it."""
    path = folder / f"{calls}.duckdb"
    target = Warehouse("duckdb", str(path))
    create_missing_raw(target)
    store_history(path, calls, LAST_DAY - timedelta(days=calls // CALLS_A_DAY - 1))
    took = []
    for _ in range(2):
        started = time.perf_counter()
        results = build_models(target, folder / "dbt")
        took.append(time.perf_counter() - started)
        if detailed:
            for result in sorted(results, key=lambda result: -result.seconds)[:12]:
                print(f"    {result.model:32} {result.rows or 0:>12,} rows {result.seconds:8.2f} s")
        touch_last_days(path)
    return took[0], took[1]


def main() -> None:
    """Print what both histories cost, and the ratio of their nights."""
    longest = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    nights = {}
    with tempfile.TemporaryDirectory() as folder:
        for calls in (longest // 10, longest):
            full, nights[calls] = measure(calls, Path(folder), detailed=calls == longest)
            print(f"{calls:>12,} queue calls: full build {full:.1f} s, a night {nights[calls]:.1f} s")
    print(f"a night on the longer history costs {nights[longest] / nights[longest // 10]:.2f} times as much")


if __name__ == "__main__":
    main()
