-- A higher percentile is never smaller, and none exceeds the largest wait.
select *
from {{ ref('queue_days') }}
where
    {{ is_touched(ref('int_dates__touched'), 'day', 'local_date') }}
    and (
        wait_answered_p50_seconds > wait_answered_p90_seconds
        or wait_answered_p90_seconds > wait_answered_p95_seconds
        or wait_answered_p95_seconds > wait_answered_max_seconds
        or wait_abandoned_p50_seconds > wait_abandoned_p90_seconds
        or wait_abandoned_p90_seconds > wait_abandoned_p95_seconds
        or wait_abandoned_p95_seconds > wait_abandoned_max_seconds
        or longest_wait_seconds < 0
    )
