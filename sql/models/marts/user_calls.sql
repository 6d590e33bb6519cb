{{ config(unique_key=['account', 'local_date']) }}

with staged as (
    select
        *,
        {{ row_hash([
            'account', 'direction', 'caller_number', 'called_number', 'user_name', epoch_micros('started_at'),
            epoch_micros('finished_at'), 'call_seconds', 'conversation_seconds', 'extra',
        ]) }} as content_hash
    from {{ ref('stg_voipcloud__user_calls') }}
    where {{ touched('context', 'call_day') }}
),

-- Two equal rows are two calls. Which one is the second does not matter, because they are equal.
numbered as (
    select
        *,
        row_number() over (partition by content_hash order by started_at) as ordinal
    from staged
)

select
    case when ordinal = 1 then content_hash else content_hash || '-' || ordinal end as user_call_id,
    account,
    user_name,
    direction,
    caller_number,
    called_number,
    started_at,
    finished_at,
    started_at_local,
    local_date,
    call_seconds,
    {{ not_negative('call_seconds - conversation_seconds') }} as ring_seconds,
    conversation_seconds,
    coalesce(conversation_seconds > 0, false) as is_answered,
    finished_at is null as is_in_progress,
    is_anonymous
from numbered
where {{ touched('day') }}
