with weekdays as (
    select cast(iso_weekday as bigint) as iso_weekday from generate_series(1, 7) as days (iso_weekday)
),

matched as (
    select
        queues.account,
        queues.queue_kind,
        queues.queue_name,
        weekdays.iso_weekday,
        hours.opens,
        hours.closes,
        rank() over (
            partition by queues.account, queues.queue_kind, queues.queue_name, weekdays.iso_weekday
            order by
                case when hours.queue_name = '*' then 1 else 0 end,
                case when hours.account = '*' then 1 else 0 end,
                case when hours.weekday = '*' then 1 else 0 end
        ) as closeness
    from {{ ref('int_queues__listed') }} as queues
    cross join weekdays
    left join {{ ref('opening_hours') }} as hours
        on
            hours.account in (queues.account, '*')
            and hours.queue_name in (queues.queue_name, '*')
            and hours.weekday in (cast(weekdays.iso_weekday as text), '*')
)

select
    account,
    queue_kind,
    queue_name,
    iso_weekday,
    {{ minute_of_day("coalesce(opens, '00:00')") }} as opens_minute,
    {{ minute_of_day("coalesce(closes, '24:00')") }} as closes_minute
from matched
where closeness = 1
