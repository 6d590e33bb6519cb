-- Like agent_days, but by queue, which that mart does not have.
with periods (period, first_date, last_date, seen_until) as (
    values $periods
),

days as (
    select
        account,
        queue_kind,
        queue_name,
        local_date,
        coalesce(answered_by, '(unnamed)') as user_name,
        count(*) as answered_count,
        count(wait_seconds) as wait_count,
        coalesce(sum(wait_seconds), 0) as wait_total_seconds,
        count(talk_seconds) as talk_count,
        coalesce(sum(talk_seconds), 0) as talk_total_seconds
    from marts.queue_calls
    where outcome = 'answered'
    group by account, queue_kind, queue_name, local_date, coalesce(answered_by, '(unnamed)')
)

select
    period,
    account,
    queue_kind,
    queue_name,
    user_name,
    $sums
from days
inner join periods on local_date between first_date and last_date
group by grouping sets ($scopes)
order by answered_count desc, user_name
