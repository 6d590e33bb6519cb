-- Who carried the load in the last four weeks? Talk share is a share of the span from first to last activity, not of log-in time.
with newest as (
    select
        account,
        max(local_date) as last_date
    from {{ ref('agent_days') }}
    group by account
)

select
    agents.account,
    agents.user_name,
    count(*) as days_count,
    sum(agents.queue_calls_answered_count) as queue_calls_answered_count,
    sum(agents.talk_total_seconds) / 3600.0 as talk_hours,
    sum(agents.missed_inbound_count) as missed_inbound_count,
    sum(agents.on_call_seconds) / nullif(sum(agents.activity_span_seconds), 0) as talk_share_rate
from {{ ref('agent_days') }} as agents
inner join newest on agents.account = newest.account and agents.local_date > newest.last_date - 28
group by agents.account, agents.user_name
order by queue_calls_answered_count desc, agents.account asc, agents.user_name asc
