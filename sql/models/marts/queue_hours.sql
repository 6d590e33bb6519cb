{{ config(unique_key=['account', 'local_date']) }}

with measured as (
    select
        account,
        queue_kind,
        queue_name,
        {{ hour_start('entered_at', 'entered_at_local') }} as hour_start_at,
        date_trunc('hour', entered_at_local) as hour_start_local,
        local_date,
        {{ utc_offset_minutes('entered_at', 'entered_at_local') }} as utc_offset_minutes,
        {{ queue_measures() }}
    from {{ ref('queue_calls') }}
    where {{ touched('day') }}
    group by
        account,
        queue_kind,
        queue_name,
        {{ hour_start('entered_at', 'entered_at_local') }},
        date_trunc('hour', entered_at_local),
        local_date,
        {{ utc_offset_minutes('entered_at', 'entered_at_local') }}
)

select
    *,
    {{ queue_rates() }}
from measured
