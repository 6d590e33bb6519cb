{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='append_new_columns',
    full_refresh=false
) }}

-- A version of a queue's day each time its figures change, from the first build whose loads had seen the whole local day.
-- Never rebuilt: what was published cannot be computed again. It waits for the other marts and their tests:
-- depends_on: {{ ref('account_days') }} {{ ref('agent_days') }} {{ ref('caller_journeys') }} {{ ref('dates') }}
-- depends_on: {{ ref('inbound_number_days') }} {{ ref('load_health') }} {{ ref('lost_calls') }} {{ ref('queue_hour_of_week') }}
-- depends_on: {{ ref('queue_hours') }} {{ ref('queue_intervals') }} {{ ref('queue_months') }} {{ ref('queue_wait_buckets') }}
-- depends_on: {{ ref('queue_weeks') }} {{ ref('user_calls') }}
with loads as (
    select
        account,
        case when endpoint = 'queue_calls' then 'queue' else 'ring_group' end as queue_kind,
        call_day,
        loaded_at,
        timezone,
        max(loaded_at) over (partition by account) as last_load_at
    from {{ ref('int_days__seen') }}
    where endpoint in ('queue_calls', 'ringgroup_calls')
),

current_days as (
    select
        account,
        queue_kind,
        queue_name,
        local_date,
        offered_count,
        answered_count,
        abandoned_count
    from {{ ref('queue_days') }}
    where {{ touched('day') }}
),

latest as (
    {%- if is_incremental() %}
    select
        account,
        queue_kind,
        queue_name,
        local_date,
        offered_count,
        answered_count,
        abandoned_count,
        version_number
    from (
        select
            *,
            row_number() over (
                partition by account, queue_kind, queue_name, local_date order by version_number desc
            ) as recency
        from {{ this }}
        where {{ touched('day') }}
    ) as versions
    where recency = 1
    {%- else %}
    select
        *,
        cast(0 as bigint) as version_number
    from current_days
    where false
    {%- endif %}
),

-- A day that lost all its calls is published as a row of zeros.
compared as (
    select
        coalesce(current_days.account, latest.account) as account,
        coalesce(current_days.queue_kind, latest.queue_kind) as queue_kind,
        coalesce(current_days.queue_name, latest.queue_name) as queue_name,
        coalesce(current_days.local_date, latest.local_date) as local_date,
        coalesce(latest.version_number, 0) + 1 as version_number,
        coalesce(current_days.offered_count, 0) as offered_count,
        coalesce(current_days.answered_count, 0) as answered_count,
        coalesce(current_days.abandoned_count, 0) as abandoned_count
    from current_days
    full join latest
        on
            current_days.account = latest.account
            and current_days.queue_kind = latest.queue_kind
            and current_days.queue_name = latest.queue_name
            and current_days.local_date = latest.local_date
    where
        latest.account is null
        or coalesce(current_days.offered_count, 0) <> latest.offered_count
        or coalesce(current_days.answered_count, 0) <> latest.answered_count
        or coalesce(current_days.abandoned_count, 0) <> latest.abandoned_count
),

compared_days as (
    select
        account,
        queue_kind,
        local_date
    from compared
    group by account, queue_kind, local_date
),

-- The UTC days that a local day lies in, each read after that local day was over.
completed as (
    select
        days.account,
        days.queue_kind,
        days.local_date,
        max(loads.last_load_at) as published_at
    from compared_days as days
    inner join loads
        on
            days.account = loads.account
            and days.queue_kind = loads.queue_kind
            and days.local_date between loads.call_day - 1 and loads.call_day + 1
            and {{ day_start_utc('days.local_date + 1', 'loads.timezone') }} > cast(loads.call_day as timestamp)
            and {{ day_start_utc('days.local_date', 'loads.timezone') }} < cast(loads.call_day + 1 as timestamp)
    group by days.account, days.queue_kind, days.local_date
    having min(loads.loaded_at) >= max({{ in_zone('cast(days.local_date + 1 as timestamp)', 'loads.timezone') }})
)

select
    compared.*,
    completed.published_at
from compared
inner join completed
    on
        compared.account = completed.account
        and compared.queue_kind = completed.queue_kind
        and compared.local_date = completed.local_date
