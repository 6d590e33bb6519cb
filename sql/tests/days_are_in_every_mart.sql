-- A day with calls is in every mart that counts calls by day: a missing row would escape a comparison of sums.
select
    days.account,
    days.local_date
from {{ ref('account_days') }} as days
{%- for mart in ['queue_intervals', 'queue_hours', 'queue_days', 'inbound_number_days'] %}
left join (select account, local_date from {{ ref(mart) }} group by account, local_date) as {{ mart }}
    on days.account = {{ mart }}.account and days.local_date = {{ mart }}.local_date
{%- endfor %}
where
    (days.account, days.local_date) in (select account, local_date from {{ ref('int_dates__touched') }} where reach = 'day')
    and (
        queue_intervals.account is null
        or queue_hours.account is null
        or queue_days.account is null
        or inbound_number_days.account is null
    )
