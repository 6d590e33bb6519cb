-- A recovery counts only up to `seen_until`: otherwise a day some weeks ago would have had more time to reach its callers.
with periods (period, first_date, last_date, seen_until) as (
    values $periods
)

select
    period,
    account,
    queue_kind,
    queue_name,
    count(distinct account || ' ' || caller_number) as lost_callers,
    count(distinct account || ' ' || caller_number) filter (
        where recovered_at is null or recovered_at > seen_until
    ) as unreached_callers
from marts.lost_calls
inner join periods on local_date between first_date and last_date
group by grouping sets ($scopes)
