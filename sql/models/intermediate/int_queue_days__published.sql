{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='append_new_columns',
    full_refresh=false
) }}

-- A version of a queue's day for each change of its figures, from the first build whose loads have read the whole local day.
-- If a queue had no calls when its day was first published, its version 1 has zeros.
-- Never rebuilt, because published figures cannot be computed again. It waits for the other marts and their tests:
-- depends_on: {{ ref('account_days') }} {{ ref('agent_days') }} {{ ref('caller_journeys') }} {{ ref('dates') }}
-- depends_on: {{ ref('inbound_number_days') }} {{ ref('load_health') }} {{ ref('lost_calls') }} {{ ref('queue_hour_of_week') }}
-- depends_on: {{ ref('queue_hours') }} {{ ref('queue_intervals') }} {{ ref('queue_months') }} {{ ref('queue_wait_buckets') }}
-- depends_on: {{ ref('queue_weeks') }} {{ ref('user_calls') }}
with current_days as (
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

published_days as (
    select * from {{ published_days() }}
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

-- A day that has lost all its calls is published as a row of zeros.
queues_days as (
    select
        coalesce(current_days.account, latest.account) as account,
        coalesce(current_days.queue_kind, latest.queue_kind) as queue_kind,
        coalesce(current_days.queue_name, latest.queue_name) as queue_name,
        coalesce(current_days.local_date, latest.local_date) as local_date,
        coalesce(current_days.offered_count, 0) as offered_count,
        coalesce(current_days.answered_count, 0) as answered_count,
        coalesce(current_days.abandoned_count, 0) as abandoned_count,
        latest.version_number,
        coalesce(latest.offered_count, 0) as old_offered_count,
        coalesce(latest.answered_count, 0) as old_answered_count,
        coalesce(latest.abandoned_count, 0) as old_abandoned_count
    from current_days
    full join latest
        on
            current_days.account = latest.account
            and current_days.queue_kind = latest.queue_kind
            and current_days.queue_name = latest.queue_name
            and current_days.local_date = latest.local_date
),

compared as (
    select
        queues_days.*,
        published_days.published_at as first_published_at,
        loads.last_load_at,
        queues_days.offered_count <> queues_days.old_offered_count
        or queues_days.answered_count <> queues_days.old_answered_count
        or queues_days.abandoned_count <> queues_days.old_abandoned_count as is_changed
    from queues_days
    inner join {{ ref('int_accounts__loaded') }} as loads on queues_days.account = loads.account
    left join published_days
        on
            queues_days.account = published_days.account
            and queues_days.queue_kind = published_days.queue_kind
            and queues_days.local_date = published_days.local_date
    left join {{ ref('int_days__completed') }} as completed
        on
            queues_days.account = completed.account
            and queues_days.queue_kind = completed.queue_kind
            and queues_days.local_date = completed.local_date
    where published_days.account is not null or completed.account is not null
)

select
    account,
    queue_kind,
    queue_name,
    local_date,
    coalesce(version_number, case when first_published_at is null then 0 else 1 end) + 1 as version_number,
    offered_count,
    answered_count,
    abandoned_count,
    last_load_at as published_at
from compared
where is_changed or (version_number is null and first_published_at is null)
union all
select
    account,
    queue_kind,
    queue_name,
    local_date,
    1 as version_number,
    0 as offered_count,
    0 as answered_count,
    0 as abandoned_count,
    first_published_at as published_at
from compared
where is_changed and version_number is null and first_published_at is not null
