-- Every answered queue call belongs to an agent, or to `(unnamed)` if the PBX names nobody.
with agents as (
    select
        account,
        local_date,
        sum(queue_calls_answered_count) as answered_count,
        sum(talk_total_seconds) as talk_seconds
    from {{ ref('agent_days') }}
    where {{ is_touched(ref('int_dates__touched'), 'day', 'local_date') }}
    group by account, local_date
),

queues as (
    select
        account,
        local_date,
        answered_count,
        talk_total_seconds as talk_seconds
    from {{ ref('account_days') }}
    where {{ is_touched(ref('int_dates__touched'), 'day', 'local_date') }}
)

select
    agents.account,
    queues.account as queues_account
from agents
full join queues on agents.account = queues.account and agents.local_date = queues.local_date
where
    coalesce(agents.answered_count, 0) <> coalesce(queues.answered_count, 0)
    or coalesce(agents.talk_seconds, 0) <> coalesce(queues.talk_seconds, 0)
