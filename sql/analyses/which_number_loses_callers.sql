-- Which of our numbers loses the most callers? Last 28 days, by number dialled.
with newest as (
    select
        account,
        max(local_date) as last_date
    from {{ ref('inbound_number_days') }}
    group by account
)

select
    days.account,
    days.inbound_number,
    sum(days.offered_count) as offered_count,
    sum(days.abandoned_count + days.timedout_count) as lost_count,
    sum(days.abandoned_count + days.timedout_count) / cast(nullif(sum(days.offered_count), 0) as double precision) as lost_rate
from {{ ref('inbound_number_days') }} as days
inner join newest on days.account = newest.account and days.local_date > newest.last_date - 28
group by days.account, days.inbound_number
order by lost_count desc, days.account asc, days.inbound_number asc
