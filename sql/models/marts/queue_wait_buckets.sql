{{ config(unique_key=['account', 'local_date']) }}

{%- set edges = [0, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600] %}

with bucketed as (
    select
        account,
        queue_kind,
        queue_name,
        local_date,
        outcome,
        case
            {%- for edge in edges | reverse %}
            when wait_seconds >= {{ edge }} then {{ loop.revindex0 }}
            {%- endfor %}
        end as bucket
    from {{ ref('queue_calls') }}
    where wait_seconds is not null and {{ touched('day') }}
),

buckets as (
    {%- for edge in edges %}
    select
        {{ loop.index0 }} as bucket,
        cast({{ edge }} as bigint) as bucket_start_seconds,
        cast({{ 'null' if loop.last else edges[loop.index] }} as bigint) as bucket_end_seconds
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
)

select
    bucketed.account,
    bucketed.queue_kind,
    bucketed.queue_name,
    bucketed.local_date,
    bucketed.outcome,
    buckets.bucket_start_seconds,
    buckets.bucket_end_seconds,
    count(*) as calls_count
from bucketed
inner join buckets on bucketed.bucket = buckets.bucket
group by
    bucketed.account,
    bucketed.queue_kind,
    bucketed.queue_name,
    bucketed.local_date,
    bucketed.outcome,
    buckets.bucket_start_seconds,
    buckets.bucket_end_seconds
