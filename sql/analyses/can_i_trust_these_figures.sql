-- Is the data complete, how fresh is it, and how often have published days changed since?
select
    health.account,
    health.endpoint,
    health.last_day_date,
    health.last_load_at,
    health.warnings,
    count(restatements.restated_at) as restatements_count,
    max(restatements.restated_at) as last_restated_at
from {{ ref('load_health') }} as health
left join {{ ref('restatements') }} as restatements
    on
        health.account = restatements.account
        and health.endpoint = case when restatements.queue_kind = 'queue' then 'queue_calls' else 'ringgroup_calls' end
group by health.account, health.endpoint, health.last_day_date, health.last_load_at, health.warnings
order by health.account, health.endpoint
