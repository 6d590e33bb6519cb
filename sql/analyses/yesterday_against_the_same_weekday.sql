-- How does the newest whole day compare with the same weekday of the four weeks before?
with newest as (
    select
        account,
        max(local_date) - 1 as day_date
    from {{ ref('account_days') }}
    group by account
),

before as (
    select
        newest.account,
        newest.day_date,
        percentile_cont(0.5) within group (order by days.offered_count) as usual_offered_count,
        percentile_cont(0.5) within group (order by days.abandonment_rate) as usual_abandonment_rate,
        percentile_cont(0.5) within group (order by days.service_level_offered_rate) as usual_service_level_rate
    from newest
    inner join {{ ref('account_days') }} as days
        on
            newest.account = days.account
            and days.local_date in (
                newest.day_date - 7, newest.day_date - 14, newest.day_date - 21, newest.day_date - 28
            )
    group by newest.account, newest.day_date
)

select
    days.account,
    days.local_date,
    days.offered_count,
    before.usual_offered_count,
    days.abandonment_rate,
    before.usual_abandonment_rate,
    days.service_level_offered_rate,
    before.usual_service_level_rate,
    days.average_speed_of_answer_seconds,
    days.longest_wait_seconds
from before
inner join {{ ref('account_days') }} as days on before.account = days.account and before.day_date = days.local_date
order by days.account
