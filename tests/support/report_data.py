"""Histories to report on: raw tables of a made-up call centre, in SQL, and the marts that dbt makes of them."""

from datetime import date, timedelta
from pathlib import Path
from string import Template

import duckdb

from pipelines.publish import publish
from pipelines.transform import create_missing_raw, run_dbt
from pipelines.transform.last_build import building
from pipelines.warehouse import Target
from tests.support.models_data import insert, store_accounts
from tests.support.models_warehouses import MODELS_ALONE

ZONE = "Australia/Sydney"
# Busy from 8 to 18 local time, fewer calls at weekends, longer waits on Mondays; numbers from ranges kept for fiction.
CALLS = Template("""
    insert into raw.queue_calls by name
    select
        '$account' as account,
        cast(call_start_at as date) as call_day,
        timestamptz '$loaded_at' as loaded_at,
        'Queue ' || lpad(cast(1 + least(hash(call, 7) % $queues, hash(call, 8) % $queues) as text), 2, '0')
            as queue_name,
        case when luck > 0 then '+6125550' || lpad(cast(hash(call, 4) % 2000 as text), 4, '0') end as callerid,
        '+61255500100' as inbound_number,
        case when luck < 88 then 'answered' when luck < 97 then 'abandoned' else 'timedout' end as status,
        call_start_at,
        case when luck < 88 then call_start_at + wait * interval 1 second end as call_answered_at,
        call_start_at + (wait + case when luck < 88 then talk else 0 end) * interval 1 second as call_finished_at,
        case when luck < 88 then 'Agent ' || lpad(cast(hash(call, 9) % $agents as text), 2, '0') end
            as answered_by_user_name
    from (
        select
            call,
            hash(call, 1) % 100 as luck,
            cast(power(hash(call, 2) % 100 / 100.0, 4) * case isodow(day) when 1 then 400 else 200 end as integer)
                as wait,
            cast(30 + hash(call, 3) % 400 as integer) as talk,
            timezone('$zone', cast(day as timestamp) + cast(28800 + 36000 * (
                hash(call, 5) % 10000 + hash(call, 6) % 10000
            ) / 20000.0 as integer) * interval 1 second) as call_start_at
        from (
            select call, date '$first' + cast(call // $calls_a_day as integer) as day
            from range($calls_a_day * $days) as calls (call)
        )
        where isodow(day) < 6 or hash(call, 10) % 3 = 0
    )
    where cast(timezone('$zone', call_start_at) as date) not in ($quiet)
""")
LOADED = """
    insert into raw.loaded_days by name
    select account, endpoint, call_day, max(loaded_at) as loaded_at, sum(calls) as calls_count, 0 as rejected_count,
        0 as unfinished_count, true as is_settled
    from (
        select account, 'queue_calls' as endpoint, call_day, loaded_at, 1 as calls from raw.queue_calls union all
        select account, 'ringgroup_calls', call_day, loaded_at, 1 from raw.ringgroup_calls union all
        select account, endpoint, cast(days.day as date), timestamptz '{loaded_at}', 0
        from raw.accounts, unnest(['queue_calls', 'ringgroup_calls']) as endpoints (endpoint),
            generate_series(date '{first}', date '{last}', interval 1 day) as days (day)
    )
    group by account, endpoint, call_day
"""
QUIET = date(1970, 1, 1)  # no call is as old: no day is quiet


def store_history(
    path: Path,
    *,
    last: date,
    days: int,
    queues: int = 6,
    calls_a_day: int = 400,
    agents: int = 20,
    quiet: date = QUIET,
    more: tuple[dict[str, object], ...] = (),
) -> Target:
    """Stores the raw calls of `days` local dates up to `last`, loaded the night after it; `more` are further rows."""
    target = Target("duckdb", str(path))
    create_missing_raw(target)
    first, night = last - timedelta(days=days - 1), last + timedelta(days=1)
    loaded_at = f"{night} 02:15:00+00"
    values = {"account": "main", "zone": ZONE, "first": first, "days": days, "queues": queues, "agents": agents}
    values |= {"calls_a_day": calls_a_day, "loaded_at": loaded_at, "quiet": f"date '{quiet}'"}
    with duckdb.connect(str(path)) as connection:
        accounts = {"main": ZONE} | {str(row["account"]): "Europe/London" for row in more}
        store_accounts(connection.execute, accounts)
        if calls_a_day:
            connection.execute(CALLS.substitute(values))
        for row in more:
            insert(connection.execute, "queue_calls", [{"loaded_at": loaded_at, **row}])
        connection.execute("delete from raw.loaded_days")
        connection.execute(LOADED.format(loaded_at=loaded_at, first=first, last=night))
    return target


def publish_history(target: Target, work_dir: Path) -> Target:
    """Builds the marts, without their tests, and publishes them as a night does."""
    with building(target):
        run_dbt(target, work_dir, MODELS_ALONE)
    publish(target)
    return target
