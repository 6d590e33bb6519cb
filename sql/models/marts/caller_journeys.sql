{{ config(unique_key=['account', 'local_date'], meta={'reach': 'journey'}) }}

with visits as (
    select
        *,
        {{ followed_until('finished_at') }} as ended_at
    from {{ ref('queue_calls') }}
    where caller_number is not null and {{ touched('visit') }}
),

-- Visits that begin together are in the order of their ends, then of their ids.
neighbours as (
    select
        *,
        lag(ended_at) over in_order as previous_ended_at,
        lead(entered_at) over in_order as next_entered_at
    from visits
    window in_order as (
        partition by account, caller_number, inbound_number order by entered_at, finished_at, queue_call_id
    )
),

linked as (
    select
        *,
        {{ is_linked('previous_ended_at', 'entered_at') }} as is_linked_back,
        {{ is_linked('ended_at', 'next_entered_at') }} as is_linked_on
    from neighbours
),

-- Most visits have no link. Only the others are grouped: a journey's number is the count of first visits up to here.
gathered as (
    select
        *,
        sum(case when is_linked_back then 0 else 1 end) over (
            partition by account, caller_number, inbound_number
            order by entered_at, finished_at, queue_call_id
            rows between unbounded preceding and current row
        ) as journey_number
    from linked
    where is_linked_back or is_linked_on
),

journeys as (
    select
        queue_call_id as journey_id,
        account,
        caller_number,
        inbound_number,
        entered_at as started_at,
        finished_at as ended_at,
        entered_at_local as started_at_local,
        local_date,
        queue_kind as first_queue_kind,
        queue_name as first_queue_name,
        queue_kind as last_queue_kind,
        queue_name as last_queue_name,
        1 as visits_count,
        coalesce(wait_seconds, 0) as wait_total_seconds,
        outcome as final_outcome
    from linked
    where not is_linked_back and not is_linked_on
    union all
    select
        max(case when not is_linked_back then queue_call_id end) as journey_id,
        account,
        caller_number,
        inbound_number,
        min(entered_at) as started_at,
        max(case when not is_linked_on then finished_at end) as ended_at,
        max(case when not is_linked_back then entered_at_local end) as started_at_local,
        max(case when not is_linked_back then local_date end) as local_date,
        max(case when not is_linked_back then queue_kind end) as first_queue_kind,
        max(case when not is_linked_back then queue_name end) as first_queue_name,
        max(case when not is_linked_on then queue_kind end) as last_queue_kind,
        max(case when not is_linked_on then queue_name end) as last_queue_name,
        count(*) as visits_count,
        cast(coalesce(sum(wait_seconds), 0) as bigint) as wait_total_seconds,
        max(case when not is_linked_on then outcome end) as final_outcome
    from gathered
    group by account, caller_number, inbound_number, journey_number
)

select * from journeys
where {{ touched('journey') }}
