with periods (period, first_date, last_date, seen_until) as (
    values $periods
)

select
    period,
    account,
    queue_kind,
    queue_name,
    outcome,
    bucket_start_seconds,
    cast(sum(calls_count) as bigint) as calls_count
from marts.queue_wait_buckets
inner join periods on local_date between first_date and last_date
where outcome in ('answered', 'abandoned', 'timedout')
group by grouping sets ($scopes)
