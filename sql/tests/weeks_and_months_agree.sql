-- Weeks and months are the sums of their days.
with totals as (
    {%- for mart, period in [('queue_weeks', 'week'), ('queue_months', 'month')] %}
    select
        '{{ period }}' as period,
        account,
        queue_kind,
        queue_name,
        {{ period }}_start_date as period_start_date,
        offered_count,
        answered_count,
        wait_answered_total_seconds
    from {{ ref(mart) }}
    where {{ is_touched(ref('int_dates__touched'), period, period ~ '_start_date') }}
    {% if not loop.last %}union all{% endif %}
    {%- endfor %}
),

days as (
    {%- for period in ['week', 'month'] %}
    select
        '{{ period }}' as period,
        account,
        queue_kind,
        queue_name,
        cast(date_trunc('{{ period }}', cast(local_date as timestamp)) as date) as period_start_date,
        sum(offered_count) as offered_count,
        sum(answered_count) as answered_count,
        sum(wait_answered_total_seconds) as wait_answered_total_seconds
    from {{ ref('queue_days') }}
    where {{ is_touched(ref('int_dates__touched'), period, 'local_date') }}
    group by account, queue_kind, queue_name, cast(date_trunc('{{ period }}', cast(local_date as timestamp)) as date)
    {% if not loop.last %}union all{% endif %}
    {%- endfor %}
)

select
    totals.account,
    days.account as days_account
from totals
full join days
    on
        totals.period = days.period
        and totals.account = days.account
        and totals.queue_kind = days.queue_kind
        and totals.queue_name = days.queue_name
        and totals.period_start_date = days.period_start_date
where
    totals.account is null
    or days.account is null
    or totals.offered_count <> days.offered_count
    or totals.answered_count <> days.answered_count
    or totals.wait_answered_total_seconds <> days.wait_answered_total_seconds
