-- A day with calls is in every mart that counts calls by day. A comparison of sums alone would not notice a missing row.
{% set marts = ['queue_intervals', 'queue_hours', 'queue_days', 'inbound_number_days'] -%}
with present as (
    {%- for mart in marts %}
    select
        '{{ mart }}' as mart,
        account,
        local_date
    from {{ ref(mart) }}
    where {{ is_touched(ref('int_dates__touched'), 'day', 'local_date') }}
    group by account, local_date
    {% if not loop.last %}union all{% endif %}
    {%- endfor %}
),

days as (
    select
        account,
        local_date
    from {{ ref('account_days') }}
    where {{ is_touched(ref('int_dates__touched'), 'day', 'local_date') }}
)

select
    days.account,
    days.local_date
from days
left join present on days.account = present.account and days.local_date = present.local_date
group by days.account, days.local_date
having count(present.mart) < {{ marts | length }}
