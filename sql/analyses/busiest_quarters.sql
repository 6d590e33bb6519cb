-- When were most callers waiting at once? The twenty worst quarters of an hour.
select
    account,
    queue_name,
    interval_start_local,
    peak_waiting_count,
    peak_talking_count,
    offered_count,
    abandoned_count
from {{ ref('queue_intervals') }}
order by peak_waiting_count desc, interval_start_at desc, account asc, queue_name asc
limit 20
