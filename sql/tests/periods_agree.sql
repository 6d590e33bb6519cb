-- Intervals, hours, days, dialled numbers and account days are sums over the same calls.
with counted as (
    {%- for mart in ['queue_intervals', 'queue_hours', 'queue_days', 'account_days', 'inbound_number_days'] %}
    select
        '{{ mart }}' as mart,
        account,
        local_date,
        sum(offered_count) as offered_count,
        sum(answered_count) as answered_count,
        sum(abandoned_count) as abandoned_count,
        sum(answered_within_target_count) as answered_within_target_count,
        sum(in_progress_count) as in_progress_count,
        sum(talk_total_seconds) as talk_total_seconds
    from {{ ref(mart) }}
    where {{ is_touched(ref('int_dates__touched'), 'day', 'local_date') }}
    group by account, local_date
    {% if not loop.last %}union all{% endif %}
    {%- endfor %}
),

days as (
    select * from counted
    where mart = 'queue_days'
)

select counted.*
from counted
left join days on counted.account = days.account and counted.local_date = days.local_date
where
    -- An interval in which somebody still talks has a row even if nobody entered on that date.
    (days.account is null and (counted.offered_count > 0 or counted.in_progress_count > 0))
    or counted.offered_count <> days.offered_count
    or counted.answered_count <> days.answered_count
    or counted.abandoned_count <> days.abandoned_count
    or counted.answered_within_target_count <> days.answered_within_target_count
    or counted.in_progress_count <> days.in_progress_count
    or counted.talk_total_seconds <> days.talk_total_seconds
