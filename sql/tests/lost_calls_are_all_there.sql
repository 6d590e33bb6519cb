-- lost_calls has every abandoned or timed-out call of a known caller, and no other call.
with lost as (
    select
        account,
        local_date,
        count(*) as calls_count
    from {{ ref('lost_calls') }}
    where {{ is_touched(ref('int_dates__touched'), 'day', 'local_date') }}
    group by account, local_date
),

unanswered as (
    select
        account,
        local_date,
        count(*) as calls_count
    from {{ ref('queue_calls') }}
    where
        outcome in ('abandoned', 'timedout')
        and not is_anonymous
        and {{ is_touched(ref('int_dates__touched'), 'day', 'local_date') }}
    group by account, local_date
)

select
    unanswered.account,
    lost.account as lost_account
from unanswered
full join lost on unanswered.account = lost.account and unanswered.local_date = lost.local_date
where unanswered.account is null or lost.account is null or unanswered.calls_count <> lost.calls_count
