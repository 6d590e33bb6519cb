-- Whom to call back? Lost callers who have not been reached, newest first: how often they tried and how long they waited.
select
    account,
    caller_number,
    count(*) as lost_calls_count,
    max(lost_at) as last_lost_at,
    sum(wait_seconds) as wait_total_seconds
from {{ ref('lost_calls') }}
where is_open
group by account, caller_number
order by max(lost_at) desc, account asc, caller_number asc
