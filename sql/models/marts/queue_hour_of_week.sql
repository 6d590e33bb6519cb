{{ config(materialized='table') }}

-- The newest local date is left out, because it is seldom whole at a nightly load.
with windows as (
    select
        account,
        case
            when max(local_date) - {{ var('pattern_weeks') | int * 7 }} > min(local_date)
                then max(local_date) - {{ var('pattern_weeks') | int * 7 }}
            else min(local_date)
        end as window_start_date,
        max(local_date) - 1 as window_end_date
    from {{ ref('account_days') }}
    group by account
),

weekdays as (
    select
        windows.account,
        windows.window_start_date,
        windows.window_end_date,
        dates.iso_weekday,
        count(*) as weeks_count
    from windows
    inner join {{ ref('dates') }} as dates
        on dates.calendar_date between windows.window_start_date and windows.window_end_date
    group by windows.account, windows.window_start_date, windows.window_end_date, dates.iso_weekday
),

hours as (
    select
        *,
        cast(extract(isodow from local_date) as bigint) as iso_weekday,
        cast(extract(hour from hour_start_local) as bigint) as local_hour
    from {{ ref('queue_hours') }}
),

measured as (
    select
        hours.account,
        hours.queue_kind,
        hours.queue_name,
        hours.iso_weekday,
        hours.local_hour,
        weekdays.window_start_date,
        weekdays.window_end_date,
        weekdays.weeks_count,
        {%- for measure in [
            'offered_count', 'answered_count', 'abandoned_count', 'short_abandoned_count', 'timedout_count', 'other_count',
            'answered_within_target_count', 'wait_answered_count', 'wait_answered_total_seconds',
        ] %}
        cast(sum(hours.{{ measure }}) as bigint) as {{ measure }}{% if not loop.last %},{% endif %}
        {%- endfor %}
    from hours
    inner join weekdays
        on
            hours.account = weekdays.account
            and hours.iso_weekday = weekdays.iso_weekday
            and hours.local_date between weekdays.window_start_date and weekdays.window_end_date
    group by
        hours.account,
        hours.queue_kind,
        hours.queue_name,
        hours.iso_weekday,
        hours.local_hour,
        weekdays.window_start_date,
        weekdays.window_end_date,
        weekdays.weeks_count
)

select
    *,
    {{ rate('abandoned_count', 'offered_count') }} as abandonment_rate,
    {{ rate('answered_within_target_count', 'offered_count') }} as service_level_offered_rate,
    {{ rate('wait_answered_total_seconds', 'wait_answered_count') }} as average_speed_of_answer_seconds,
    {{ rate('offered_count', 'weeks_count') }} as offered_per_week,
    {{ rate('answered_count', 'weeks_count') }} as answered_per_week,
    {{ rate('abandoned_count', 'weeks_count') }} as abandoned_per_week
from measured
