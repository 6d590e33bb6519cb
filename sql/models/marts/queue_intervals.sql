{{ config(unique_key=['account', 'local_date']) }}

-- A quarter in which nobody entered also has a row if somebody was still waiting or talking in it.
with activity as (
    select
        account,
        queue_kind,
        queue_name,
        local_date,
        {{ quarter_number('entered_at') }} as quarter,
        outcome,
        wait_seconds,
        talk_seconds,
        target_seconds,
        is_short_abandon,
        is_within_target,
        is_anonymous,
        is_in_hours,
        0 as peak_waiting_count,
        0 as peak_talking_count
    from {{ ref('queue_calls') }}
    where {{ touched('day') }}
    union all
    select
        account,
        queue_kind,
        queue_name,
        local_date,
        {{ quarter_number('interval_start_at') }} as quarter,
        null as outcome,
        null as wait_seconds,
        null as talk_seconds,
        null as target_seconds,
        null as is_short_abandon,
        null as is_within_target,
        null as is_anonymous,
        null as is_in_hours,
        peak_waiting_count,
        peak_talking_count
    from {{ ref('int_queue_intervals__peaked') }}
    where {{ touched('day') }}
),

measured as (
    select
        account,
        queue_kind,
        queue_name,
        {{ quarter_start('quarter') }} as interval_start_at,
        local_date,
        {{ additive_queue_measures() }},
        cast(max(peak_waiting_count) as bigint) as peak_waiting_count,
        cast(max(peak_talking_count) as bigint) as peak_talking_count
    from activity
    group by account, queue_kind, queue_name, quarter, local_date
),

located as (
    select
        measured.*,
        {{ in_zone('measured.interval_start_at', "coalesce(accounts.timezone, 'UTC')") }} as interval_start_local
    from measured
    left join {{ ref('stg_voipcloud__accounts') }} as accounts on measured.account = accounts.account
)

select
    *,
    {{ utc_offset_minutes('interval_start_at', 'interval_start_local') }} as utc_offset_minutes,
    {{ queue_rates() }}
from located
