-- The account's present offset from UTC is that of its newest hour with a call.
with newest as (
    select
        account,
        utc_offset_minutes,
        row_number() over (partition by account order by hour_start_at desc) as recency
    from marts.queue_hours
)

select
    days.account,
    min(days.local_date) as first_date,
    max(days.local_date) as newest_date,
    max(newest.utc_offset_minutes) as utc_offset_minutes
from marts.queue_days as days
inner join newest on days.account = newest.account and newest.recency = 1
group by days.account
order by days.account
