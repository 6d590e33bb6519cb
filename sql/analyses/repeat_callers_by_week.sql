-- Do callers have to come back? The share of known callers who entered the same queue again within a day, by week.
select
    account,
    queue_name,
    week_start_date,
    unique_callers_count,
    repeat_callers_count,
    repeat_callers_count / cast(nullif(unique_callers_count, 0) as double precision) as repeat_callers_rate,
    anonymous_rate
from {{ ref('queue_weeks') }}
order by account, queue_name, week_start_date
