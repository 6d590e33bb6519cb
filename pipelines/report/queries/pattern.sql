-- A cell is an hour of the week: 0 is Monday's first, 167 is Sunday's last. Both passes of the autumn hour are one cell.
with periods (period, first_date, last_date, seen_until) as (
    values $periods
),

hours as (
    select
        *,
        cast((extract(isodow from local_date) - 1) * 24 + extract(hour from hour_start_local) as integer) as cell
    from marts.queue_hours
)

select
    period,
    account,
    queue_kind,
    queue_name,
    cell,
    $sums
from hours
inner join periods on local_date between first_date and last_date
group by grouping sets ($scopes)
