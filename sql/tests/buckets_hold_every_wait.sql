-- Each call with a known wait is in exactly one bucket.
with bucketed as (
    select
        account,
        queue_kind,
        queue_name,
        local_date,
        outcome,
        sum(calls_count) as calls_count
    from {{ ref('queue_wait_buckets') }}
    where {{ is_touched(ref('int_dates__touched'), 'day', 'local_date') }}
    group by account, queue_kind, queue_name, local_date, outcome
),

waited as (
    select
        account,
        queue_kind,
        queue_name,
        local_date,
        outcome,
        count(*) as calls_count
    from {{ ref('queue_calls') }}
    where wait_seconds is not null and {{ is_touched(ref('int_dates__touched'), 'day', 'local_date') }}
    group by account, queue_kind, queue_name, local_date, outcome
)

select
    waited.account,
    bucketed.account as bucketed_account
from waited
full join bucketed
    on
        waited.account = bucketed.account
        and waited.queue_kind = bucketed.queue_kind
        and waited.queue_name = bucketed.queue_name
        and waited.local_date = bucketed.local_date
        and waited.outcome = bucketed.outcome
where waited.account is null or bucketed.account is null or waited.calls_count <> bucketed.calls_count
