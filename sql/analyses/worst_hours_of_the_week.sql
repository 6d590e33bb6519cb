-- When do callers give up? The ten hours of the week with the most abandoned calls in the last 13 weeks.
select
    account,
    queue_name,
    iso_weekday,
    local_hour,
    offered_per_week,
    abandoned_per_week,
    abandonment_rate,
    service_level_offered_rate,
    average_speed_of_answer_seconds
from {{ ref('queue_hour_of_week') }}
where offered_per_week >= 1
order by abandoned_per_week desc, account asc, queue_name asc, iso_weekday asc, local_hour asc
limit 10
