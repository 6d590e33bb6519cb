{{ config(materialized='table') }}

with versions as (
    select
        *,
        min(published_at) over (partition by account, queue_kind, queue_name, local_date) as first_published_at,
        lag(offered_count) over (
            partition by account, queue_kind, queue_name, local_date order by version_number
        ) as old_offered_count,
        lag(answered_count) over (
            partition by account, queue_kind, queue_name, local_date order by version_number
        ) as old_answered_count,
        lag(abandoned_count) over (
            partition by account, queue_kind, queue_name, local_date order by version_number
        ) as old_abandoned_count
    from {{ ref('int_queue_days__published') }}
)

select
    account,
    queue_kind,
    queue_name,
    local_date,
    version_number - 1 as restatement_number,
    first_published_at,
    published_at as restated_at,
    old_offered_count,
    offered_count as new_offered_count,
    old_answered_count,
    answered_count as new_answered_count,
    old_abandoned_count,
    abandoned_count as new_abandoned_count
from versions
where version_number > 1
