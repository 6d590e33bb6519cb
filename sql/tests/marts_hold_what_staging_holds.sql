-- By kind and date, the marts have the same calls as staging.
with staged as (
    select account, local_date, queue_kind as kind, count(*) as calls_count, sum({{ epoch_micros('entered_at') }}) as micros
    from {{ ref('int_queue_calls__unioned') }}
    where
        {{ is_touched(ref('int_dates__touched'), 'context', 'call_day') }}
        and {{ is_touched(ref('int_dates__touched'), 'day', 'local_date') }}
    group by account, local_date, queue_kind
    union all
    select account, local_date, 'user' as kind, count(*) as calls_count, sum({{ epoch_micros('started_at') }}) as micros
    from {{ ref('stg_voipcloud__user_calls') }}
    where
        {{ is_touched(ref('int_dates__touched'), 'context', 'call_day') }}
        and {{ is_touched(ref('int_dates__touched'), 'day', 'local_date') }}
    group by account, local_date
),

built as (
    select account, local_date, queue_kind as kind, count(*) as calls_count, sum({{ epoch_micros('entered_at') }}) as micros
    from {{ ref('queue_calls') }}
    where {{ is_touched(ref('int_dates__touched'), 'day', 'local_date') }}
    group by account, local_date, queue_kind
    union all
    select account, local_date, 'user' as kind, count(*) as calls_count, sum({{ epoch_micros('started_at') }}) as micros
    from {{ ref('user_calls') }}
    where {{ is_touched(ref('int_dates__touched'), 'day', 'local_date') }}
    group by account, local_date
)

select
    staged.account,
    built.account as built_account
from staged
full join built on staged.account = built.account and staged.local_date = built.local_date and staged.kind = built.kind
where
    staged.account is null
    or built.account is null
    or staged.calls_count <> built.calls_count
    or staged.micros <> built.micros
