-- What is our service level by each vendor's formula? By queue, for the newest whole month.
with months as (
    select
        *,
        dense_rank() over (partition by account order by month_start_date desc) as recency
    from {{ ref('queue_months') }}
)

select
    account,
    queue_name,
    month_start_date,
    offered_count,
    service_level_offered_rate,
    service_level_net_rate,
    service_level_answered_rate,
    service_level_removed_rate,
    service_level_late_abandons_rate,
    service_level_icmi_rate
from months
where recency = 2
order by account, queue_name
