with periods (period, first_date, last_date, seen_until) as (
    values $periods
)

select
    period,
    account,
    queue_kind,
    queue_name,
    $sums,
    max(longest_wait_seconds) as longest_wait_seconds
from marts.queue_days
inner join periods on local_date between first_date and last_date
group by grouping sets ($scopes)
