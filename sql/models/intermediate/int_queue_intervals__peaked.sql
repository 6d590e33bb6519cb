{{ config(materialized='incremental', incremental_strategy='replace', unique_key=['account', 'local_date']) }}

{%- set lines = 1000000 %}  {#- more than there are lines; a line is the waiting or the talking of one queue -#}

-- Numbers replace names and instants here, because each call is sorted, and some are sorted many times.
with queues as (
    select
        *,
        row_number() over (order by account, queue_kind, queue_name) as queue_number
    from {{ ref('int_queues__listed') }}
),

followed as (
    select
        queues.queue_number,
        calls.outcome = 'answered' as is_answered,
        {{ epoch_micros('calls.entered_at') }} as entered_micros,
        {{ epoch_micros(followed_until('calls.answered_at')) }} as answered_micros,
        {{ epoch_micros(followed_until('calls.finished_at')) }} as finished_micros
    from {{ ref('queue_calls') }} as calls
    inner join queues
        on
            calls.account = queues.account
            and calls.queue_kind = queues.queue_kind
            and calls.queue_name = queues.queue_name
    where calls.outcome <> 'in_progress' and {{ touched('context', 'calls.local_date') }}
),

-- A span includes its start and excludes its end, so a call that ends makes room for one that starts at the same instant.
spans as (
    select
        followed.queue_number,
        activities.activity,
        case when activities.activity = 1 then followed.entered_micros else followed.answered_micros end as start_micros,
        case when activities.activity = 1 and followed.is_answered then followed.answered_micros else followed.finished_micros end
            as end_micros
    from followed
    inner join (values (1), (2)) as activities (activity) on activities.activity = 1 or followed.is_answered
),

quartered as (
    select
        queue_number * 2 + activity - 1 as line,
        start_micros,
        end_micros,
        cast(floor(start_micros / 900000000.0) as bigint) as first_quarter,
        cast(floor((end_micros - 1) / 900000000.0) as bigint) - cast(floor(start_micros / 900000000.0) as bigint)
            as borders_crossed
    from spans
    where end_micros > start_micros
),

-- Plus one at the start of a span and of each further quarter it reaches, minus one at its end. Only two numbers are sorted:
-- `place`, a quarter and a line, and `moment`, an instant doubled, odd for plus one and even for minus one.
changes as (
    select
        (quartered.first_quarter + steps.step) * {{ lines }} + quartered.line as place,
        case
            when sides.change = -1 then quartered.end_micros * 2
            when steps.step = 0 then quartered.start_micros * 2 + 1
            else (quartered.first_quarter + steps.step) * 1800000000 + 1
        end as moment
    from quartered
    cross join lateral generate_series(0, quartered.borders_crossed) as steps (step)
    inner join (values (1), (-1)) as sides (change) on sides.change = 1 or quartered.borders_crossed = steps.step
),

counted as (
    select
        place,
        sum(case when moment % 2 = 1 then 1 else -1 end) over (
            partition by place order by moment
            rows between unbounded preceding and current row
        ) as present_count
    from changes
),

most as (
    select
        place,
        max(present_count) as present_count
    from counted
    group by place
),

placed as (
    select
        cast(floor(place / {{ lines }}.0) as bigint) as quarter,
        place % {{ lines }} as line,
        present_count
    from most
),

peaks as (
    select
        cast(floor(line / 2.0) as bigint) as queue_number,
        quarter,
        max(case when line % 2 = 0 then present_count else 0 end) as peak_waiting_count,
        max(case when line % 2 = 1 then present_count else 0 end) as peak_talking_count
    from placed
    group by cast(floor(line / 2.0) as bigint), quarter
),

located as (
    select
        queues.account,
        queues.queue_kind,
        queues.queue_name,
        {{ quarter_start('peaks.quarter') }} as interval_start_at,
        coalesce(accounts.timezone, 'UTC') as timezone,
        cast(peaks.peak_waiting_count as bigint) as peak_waiting_count,
        cast(peaks.peak_talking_count as bigint) as peak_talking_count
    from peaks
    inner join queues on peaks.queue_number = queues.queue_number
    left join {{ ref('stg_voipcloud__accounts') }} as accounts on queues.account = accounts.account
),

dated as (
    select
        account,
        queue_kind,
        queue_name,
        cast({{ in_zone('interval_start_at', 'timezone') }} as date) as local_date,
        interval_start_at,
        peak_waiting_count,
        peak_talking_count
    from located
)

select * from dated
where {{ touched('day') }}
