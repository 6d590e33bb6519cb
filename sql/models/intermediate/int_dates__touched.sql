{#- From how many days before to how many days after a reloaded UTC day a number can change, or must be read. -#}
{%- set followed_days = ([var('repeat_hours'), var('followed_hours')] | map('int') | max + 23) // 24 -%}
{%- set recovery_days = (var('recovery_hours') | int + 23) // 24 -%}
{%- set journey_days = 2 -%}
{%- set reaches = {
    'day': (-1, 1 + followed_days),
    'context': (-2 - followed_days, 2 + followed_days),
    'lost': (-2 - recovery_days, 1),
    'contact': (-2 - recovery_days, 3 + recovery_days),
    'journey': (-1 - journey_days, 2 + followed_days),
    'visit': (-2 - journey_days - followed_days, 2 + followed_days + journey_days),
} -%}

with built as (
    select * from {{ built_days() }}
),

reloaded as (
    select
        coalesce(seen.account, built.account) as account,
        coalesce(seen.call_day, built.call_day) as call_day
    from {{ ref('int_days__seen') }} as seen
    full join built
        on seen.account = built.account and seen.endpoint = built.endpoint and seen.call_day = built.call_day
    where
        seen.account is null
        or built.account is null
        or seen.loaded_at <> built.loaded_at
        or seen.timezone <> built.timezone
        or seen.project_fingerprint <> built.project_fingerprint
    group by coalesce(seen.account, built.account), coalesce(seen.call_day, built.call_day)
),

reached as (
    {%- for reach, (first, last) in reaches.items() %}
    select
        account,
        '{{ reach }}' as reach,
        call_day + cast(shift as integer) as local_date
    from reloaded
    cross join generate_series({{ first }}, {{ last }}) as shifts (shift)
    {% if not loop.last %}union{% endif %}
    {%- endfor %}
),

periods as (
    select
        account,
        'week' as reach,
        cast(date_trunc('week', local_date) as date) as period_start
    from reached
    where reach = 'day'
    union
    select
        account,
        'month' as reach,
        cast(date_trunc('month', local_date) as date) as period_start
    from reached
    where reach = 'day'
),

period_dates as (
    select
        periods.account,
        periods.reach,
        periods.period_start + cast(shifts.shift as integer) as local_date
    from periods
    cross join generate_series(0, 30) as shifts (shift)
    where
        cast(date_trunc(periods.reach, cast(periods.period_start + cast(shifts.shift as integer) as timestamp)) as date)
        = periods.period_start
)

select
    account,
    reach,
    local_date
from reached
union all
select
    account,
    reach,
    local_date
from period_dates
