{{ config(materialized='table') }}

-- Whole years around the loaded days. A local date may be one day before or after the UTC days.
with bounds as (
    select
        cast(date_trunc('year', cast(min(call_day) - 1 as timestamp)) as date) as first_date,
        cast(date_trunc('year', cast(max(call_day) + 1 as timestamp)) + interval '1 year' as date) as end_date
    from {{ ref('int_days__seen') }}
),

calendar as (
    select bounds.first_date + cast(days.day_number as integer) as calendar_date
    from bounds
    cross join lateral generate_series(0, bounds.end_date - bounds.first_date - 1) as days (day_number)
),

named_holidays as (
    select
        holiday_date,
        string_agg(distinct holiday_name, ', ' order by holiday_name) as holiday_name
    from {{ ref('holidays') }}
    group by holiday_date
)

select
    calendar.calendar_date,
    cast(extract(isodow from calendar.calendar_date) as bigint) as iso_weekday,
    case cast(extract(isodow from calendar.calendar_date) as bigint)
        when 1 then 'Monday'
        when 2 then 'Tuesday'
        when 3 then 'Wednesday'
        when 4 then 'Thursday'
        when 5 then 'Friday'
        when 6 then 'Saturday'
        when 7 then 'Sunday'
    end as weekday_name,
    cast(extract(isoyear from calendar.calendar_date) as bigint) as iso_year,
    cast(extract(week from calendar.calendar_date) as bigint) as iso_week,
    cast(date_trunc('week', cast(calendar.calendar_date as timestamp)) as date) as week_start_date,
    cast(extract(year from calendar.calendar_date) as bigint) as calendar_year,
    cast(extract(month from calendar.calendar_date) as bigint) as calendar_month,
    cast(date_trunc('month', cast(calendar.calendar_date as timestamp)) as date) as month_start_date,
    holidays.holiday_name is not null as is_holiday,
    holidays.holiday_name
from calendar
left join named_holidays as holidays on calendar.calendar_date = holidays.holiday_date
