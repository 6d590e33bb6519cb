{{ config(unique_key=['account', 'local_date']) }}

with calls as (
    select
        *,
        {{ hour_start_second('entered_at', 'entered_at_local') }} as hour_start_second,
        {{ utc_offset_minutes('entered_at', 'entered_at_local') }} as utc_offset_minutes
    from {{ ref('queue_calls') }}
    where {{ touched('day') }}
),

measured as (
    select
        account,
        queue_kind,
        queue_name,
        to_timestamp(cast(hour_start_second as double precision)) as hour_start_at,
        utc_offset_minutes,
        {{ queue_measures() }}
    from calls
    group by account, queue_kind, queue_name, hour_start_second, utc_offset_minutes
),

located as (
    select
        *,
        hour_start_at at time zone 'UTC' + utc_offset_minutes * interval '1 minute' as hour_start_local
    from measured
)

select
    *,
    cast(hour_start_local as date) as local_date,
    {{ queue_rates() }}
from located
