-- How long do callers hold? The share of abandoned calls whose callers had hung up by the end of each bucket.
select
    account,
    queue_name,
    bucket_start_seconds,
    bucket_end_seconds,
    sum(calls_count) as calls_count,
    sum(sum(calls_count)) over (partition by account, queue_name order by bucket_start_seconds)
    / sum(sum(calls_count)) over (partition by account, queue_name) as cumulative_rate
from {{ ref('queue_wait_buckets') }}
where outcome = 'abandoned'
group by account, queue_name, bucket_start_seconds, bucket_end_seconds
order by account, queue_name, bucket_start_seconds
