{{ config(unique_key=['account', 'local_date']) }}

with ended as (
    select
        *,
        coalesce(finished_at, started_at + call_seconds * interval '1 second') as ended_at
    from {{ ref('user_calls') }}
    where {{ touched('day') }}
),

activities as (
    select
        account,
        coalesce(answered_by, '(unnamed)') as user_name,
        local_date,
        'queue_call' as activity,
        wait_seconds,
        talk_seconds,
        coalesce(answered_at, entered_at) as active_from_at,
        coalesce(finished_at, answered_at, entered_at) as active_until_at,
        answered_at as talk_from_at,
        finished_at as talk_until_at
    from {{ ref('queue_calls') }}
    where outcome = 'answered' and {{ touched('day') }}
    union all
    select
        account,
        user_name,
        local_date,
        case
            when direction = 'outbound' then 'outbound'
            when is_answered or is_in_progress then 'inbound'
            else 'missed'
        end as activity,
        null as wait_seconds,
        conversation_seconds as talk_seconds,
        started_at as active_from_at,
        ended_at as active_until_at,
        case when is_answered then greatest(started_at, ended_at - conversation_seconds * interval '1 second') end
            as talk_from_at,
        ended_at as talk_until_at
    from ended
),

-- A queue call may also be a user call. So each second counts once: a talk counts from the end of the talks before it.
talked as (
    select
        *,
        greatest(
            {{ epoch_micros('talk_from_at') }},
            coalesce(max({{ epoch_micros('talk_until_at') }}) over (
                partition by account, user_name, local_date, case when talk_from_at is null then 0 else 1 end
                order by talk_from_at, talk_until_at
                rows between unbounded preceding and 1 preceding
            ), {{ epoch_micros('talk_from_at') }})
        ) as counted_from_micros
    from activities
),

measured as (
    select
        account,
        user_name,
        local_date,
        count(*) filter (where activity = 'queue_call') as queue_calls_answered_count,
        cast(coalesce(sum(talk_seconds) filter (where activity = 'queue_call'), 0) as bigint) as talk_total_seconds,
        cast(sum(wait_seconds) as double precision) / nullif(count(wait_seconds), 0) as average_speed_of_answer_seconds,
        count(*) filter (where activity in ('inbound', 'missed')) as user_calls_inbound_count,
        count(*) filter (where activity = 'outbound') as user_calls_outbound_count,
        count(*) filter (where activity = 'missed') as missed_inbound_count,
        cast(coalesce(sum(talk_seconds) filter (where activity <> 'queue_call'), 0) as bigint) as conversation_seconds,
        min(active_from_at) filter (where activity <> 'missed') as first_activity_at,
        max(active_until_at) filter (where activity <> 'missed') as last_activity_at,
        coalesce(
            sum(greatest({{ epoch_micros('talk_until_at') }} - counted_from_micros, 0))
            filter (where talk_from_at is not null and talk_until_at is not null),
            0
        ) as on_call_micros
    from talked
    group by account, user_name, local_date
)

select
    account,
    user_name,
    local_date,
    queue_calls_answered_count,
    talk_total_seconds,
    average_speed_of_answer_seconds,
    user_calls_inbound_count,
    user_calls_outbound_count,
    missed_inbound_count,
    conversation_seconds,
    first_activity_at,
    last_activity_at,
    {{ seconds_between('first_activity_at', 'last_activity_at') }} as activity_span_seconds,
    cast(floor(on_call_micros / 1000000.0) as bigint) as on_call_seconds,
    cast(on_call_micros as double precision)
    / nullif({{ epoch_micros('last_activity_at') }} - {{ epoch_micros('first_activity_at') }}, 0) as talk_share_rate
from measured
