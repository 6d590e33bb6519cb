-- What became of a lost caller counts up to `seen_until`: a day of some weeks ago has had those weeks to reach its own.
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
