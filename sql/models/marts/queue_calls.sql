{{ config(unique_key=['account', 'local_date']) }}

with staged as (
    select
        *,
        {{ row_hash([
            'account', 'queue_kind', 'queue_name', 'caller_number', 'inbound_number', epoch_micros('entered_at'),
            epoch_micros('answered_at'), epoch_micros('finished_at'), 'answered_by', 'status', 'extra',
        ]) }} as content_hash,
        {{ outcome() }} as outcome
    from {{ ref('int_queue_calls__unioned') }}
    where {{ touched('context', 'call_day') }}
),

-- Two equal rows are two calls. Which one is the second does not matter, because they are equal.
-- Both windows share one sort, the most expensive step here.
measured as (
    select
        *,
        row_number() over (
            partition by account, queue_kind, queue_name, caller_number order by entered_at, content_hash
        ) - rank() over (
            partition by account, queue_kind, queue_name, caller_number order by entered_at, content_hash
        ) + 1 as ordinal,
        max(entered_at) over (
            partition by account, queue_kind, queue_name, caller_number
            order by entered_at
            range between interval '{{ var("repeat_hours") }} hours' preceding and interval '1 microsecond' preceding
        ) as entered_before_at
    from staged
),

calls as (
    select
        *,
        {{ wait_seconds() }} as wait_seconds,
        {{ talk_seconds() }} as talk_seconds
    from measured
    where {{ touched('day') }}
)

select
    case when calls.ordinal = 1 then calls.content_hash else calls.content_hash || '-' || calls.ordinal end as queue_call_id,
    calls.account,
    calls.queue_kind,
    calls.queue_name,
    calls.caller_number,
    calls.inbound_number,
    calls.entered_at,
    calls.answered_at,
    calls.finished_at,
    calls.entered_at_local,
    calls.local_date,
    calls.outcome,
    calls.wait_seconds,
    calls.talk_seconds,
    calls.answered_by,
    targets.target_seconds,
    targets.target_rate,
    targets.short_abandon_seconds,
    coalesce(calls.outcome = 'abandoned' and calls.wait_seconds <= targets.short_abandon_seconds, false) as is_short_abandon,
    coalesce(calls.outcome = 'answered' and calls.wait_seconds <= targets.target_seconds, false) as is_within_target,
    calls.is_anonymous,
    open_spans.account is not null and holidays.account is null as is_in_hours,
    not calls.is_anonymous and calls.entered_before_at is not null as is_repeat
from calls
left join {{ ref('int_queues__targeted') }} as targets
    on
        calls.account = targets.account
        and calls.queue_kind = targets.queue_kind
        and calls.queue_name = targets.queue_name
left join {{ ref('int_queues__opened') }} as open_spans
    on
        calls.account = open_spans.account
        and calls.queue_kind = open_spans.queue_kind
        and calls.queue_name = open_spans.queue_name
        and extract(isodow from calls.entered_at_local) = open_spans.iso_weekday
        and extract(hour from calls.entered_at_local) * 60 + extract(minute from calls.entered_at_local)
        >= open_spans.opens_minute
        and extract(hour from calls.entered_at_local) * 60 + extract(minute from calls.entered_at_local)
        < open_spans.closes_minute
left join {{ ref('int_holidays__expanded') }} as holidays
    on calls.account = holidays.account and calls.local_date = holidays.holiday_date
