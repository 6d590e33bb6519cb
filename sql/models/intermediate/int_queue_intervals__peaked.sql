{{ config(materialized='incremental', incremental_strategy='replace', unique_key=['account', 'local_date']) }}

-- Numbers stand for names and instants here: every call is sorted, some of them many times.
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

-- A span holds its start and not its end: who leaves makes room in the same instant for who comes.
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
        *,
        cast(floor(start_micros / 900000000.0) as bigint) as first_quarter,
        cast(floor((end_micros - 1) / 900000000.0) as bigint) - cast(floor(start_micros / 900000000.0) as bigint)
            as borders_crossed
    from spans
    where end_micros > start_micros
),

-- One more at the start of a span and of each quarter it goes on in, one fewer at its end.
changes as (
    select
        quartered.queue_number,
        quartered.activity,
        quartered.first_quarter + steps.step as quarter,
        sides.change,
        case
            when sides.change = -1 then quartered.end_micros
            when steps.step = 0 then quartered.start_micros
            else (quartered.first_quarter + steps.step) * 900000000
        end as changed_micros
    from quartered
    cross join lateral generate_series(0, quartered.borders_crossed) as steps (step)
    inner join (values (1), (-1)) as sides (change) on sides.change = 1 or quartered.borders_crossed = steps.step
),

counted as (
    select
        queue_number,
        activity,
        quarter,
        sum(change) over (
            partition by queue_number, activity, quarter
            order by changed_micros, change
            rows between unbounded preceding and current row
        ) as present_count
    from changes
),

peaks as (
    select
        queue_number,
        quarter,
        max(case when activity = 1 then present_count else 0 end) as peak_waiting_count,
        max(case when activity = 2 then present_count else 0 end) as peak_talking_count
    from counted
    group by queue_number, quarter
),

located as (
    select
        queues.account,
        queues.queue_kind,
        queues.queue_name,
        to_timestamp(cast(peaks.quarter * 900 as double precision)) as interval_start_at,
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
