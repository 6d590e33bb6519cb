-- Of the local days that this build looks at, those that had ended when each UTC day they lie in was read.
with loads as (
    select
        account,
        case when endpoint = 'queue_calls' then 'queue' else 'ring_group' end as queue_kind,
        call_day,
        loaded_at,
        timezone
    from {{ ref('int_days__seen') }}
    where endpoint in ('queue_calls', 'ringgroup_calls')
),

zones as (
    select
        account,
        max(timezone) as timezone
    from loads
    group by account
),

candidates as (
    select
        dates.account,
        dates.local_date,
        {{ in_zone('cast(dates.local_date + 1 as timestamp)', 'zones.timezone') }} as ends_at,
        cast({{ day_start_utc('dates.local_date', 'zones.timezone') }} as date) as first_utc_day,
        cast({{ day_start_utc('dates.local_date + 1', 'zones.timezone') }} - interval '1 microsecond' as date) as last_utc_day
    from {{ ref('int_dates__touched') }} as dates
    inner join zones on dates.account = zones.account
    where dates.reach = 'day'
)

select
    loads.account,
    loads.queue_kind,
    candidates.local_date
from candidates
inner join loads
    on
        candidates.account = loads.account
        and loads.call_day between candidates.first_utc_day and candidates.last_utc_day
        and candidates.ends_at <= loads.loaded_at
group by loads.account, loads.queue_kind, candidates.local_date, candidates.first_utc_day, candidates.last_utc_day
having count(*) = candidates.last_utc_day - candidates.first_utc_day + 1
