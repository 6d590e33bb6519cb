-- Would longer hours pay? Calls that came while a queue was closed, by month, and the share of all calls that was lost.
select
    account,
    queue_name,
    month_start_date,
    offered_count,
    offered_count - in_hours_offered_count as out_of_hours_count,
    (offered_count - in_hours_offered_count) / cast(nullif(offered_count, 0) as double precision) as out_of_hours_rate,
    lost_rate
from {{ ref('queue_months') }}
order by account, queue_name, month_start_date
