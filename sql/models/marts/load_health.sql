{{ config(materialized='table') }}

with loaded as (
    select
        account,
        endpoint,
        min(call_day) as first_day_date,
        max(call_day) as last_day_date,
        max(case when calls_count > 0 then call_day end) as newest_call_date,
        cast(max(call_day) - min(call_day) + 1 - count(*) as bigint) as gap_days_count,
        cast(sum(calls_count) as bigint) as calls_count,
        cast(sum(unfinished_count) as bigint) as unfinished_count,
        count(*) filter (where not is_settled) as unsettled_days_count,
        count(offered_less_count) as shrunk_days_count,
        max(loaded_at) as last_load_at
    from {{ ref('stg_voipcloud__loaded_days') }}
    group by account, endpoint
),

calls as (
    select
        account,
        local_date,
        case when queue_kind = 'queue' then 'queue_calls' else 'ringgroup_calls' end as endpoint,
        entered_at as started_at
    from {{ ref('queue_calls') }}
    union all
    select
        account,
        local_date,
        'user_calls' as endpoint,
        started_at
    from {{ ref('user_calls') }}
),

newest as (
    select
        loaded.account,
        loaded.endpoint,
        max(calls.started_at) as newest_call_at
    from loaded
    inner join calls
        on
            loaded.account = calls.account
            and loaded.endpoint = calls.endpoint
            and calls.local_date between loaded.newest_call_date - 1 and loaded.newest_call_date + 1
    group by loaded.account, loaded.endpoint
),

unknown as (
    select
        account,
        case when queue_kind = 'queue' then 'queue_calls' else 'ringgroup_calls' end as endpoint,
        cast(sum(other_count) as bigint) as other_count
    from {{ ref('queue_days') }}
    group by account, case when queue_kind = 'queue' then 'queue_calls' else 'ringgroup_calls' end
),

rejected as (
    select
        account,
        endpoint,
        count(*) as rejected_count
    from {{ ref('stg_voipcloud__rejected_records') }}
    group by account, endpoint
),

unplaced as (
    select
        records.account,
        records.endpoint,
        cast(sum(records.copies_count) as bigint) as unplaced_count
    from {{ ref('stg_voipcloud__unplaced_records') }} as records
    inner join {{ ref('stg_voipcloud__lists') }} as lists
        on
            records.account = lists.account
            and records.endpoint = lists.endpoint
            and records.last_seen_at >= lists.whole_read_at
    group by records.account, records.endpoint
),

statuses as (
    select
        account,
        status,
        checked_at,
        row_number() over (partition by account order by checked_at desc, status desc) as recency
    from {{ ref('stg_voipcloud__system_status') }}
)

select
    loaded.account,
    loaded.endpoint,
    loaded.first_day_date,
    loaded.last_day_date,
    loaded.gap_days_count,
    loaded.calls_count,
    coalesce(rejected.rejected_count, 0) as rejected_count,
    coalesce(unplaced.unplaced_count, 0) as unplaced_count,
    loaded.unfinished_count,
    loaded.unsettled_days_count,
    loaded.shrunk_days_count,
    coalesce(unknown.other_count, 0) as other_count,
    newest.newest_call_at,
    loaded.last_load_at,
    {{ seconds_between('newest.newest_call_at', 'loaded.last_load_at') }} as freshness_seconds,
    statuses.status as system_status,
    statuses.checked_at as system_status_checked_at,
    nullif(
        concat_ws(
            '; ',
            case when loaded.gap_days_count > 0 then loaded.gap_days_count || ' days missing' end,
            case
                when loaded.shrunk_days_count > 0
                    then 'the PBX offers fewer calls than are stored for ' || loaded.shrunk_days_count || ' days'
            end,
            case when rejected.rejected_count > 0 then rejected.rejected_count || ' records rejected' end,
            case when unplaced.unplaced_count > 0 then unplaced.unplaced_count || ' records without a start' end,
            case when unknown.other_count > 0 then unknown.other_count || ' calls with an unknown status' end
        ),
        ''
    ) as warnings
from loaded
left join newest on loaded.account = newest.account and loaded.endpoint = newest.endpoint
left join unknown on loaded.account = unknown.account and loaded.endpoint = unknown.endpoint
left join rejected on loaded.account = rejected.account and loaded.endpoint = rejected.endpoint
left join unplaced on loaded.account = unplaced.account and loaded.endpoint = unplaced.endpoint
left join statuses on loaded.account = statuses.account and statuses.recency = 1
