{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key=['account', 'queue_kind', 'queue_name']
) }}

-- Every queue ever seen: the seeds' wildcards are resolved once a queue, not once a call.
select
    account,
    queue_kind,
    queue_name
from {{ ref('int_queue_calls__unioned') }}
where {{ touched('context', 'call_day') }}
group by account, queue_kind, queue_name
