{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key=['account', 'queue_kind', 'queue_name']
) }}

-- All queues ever seen, so that the seeds' wildcards are resolved once per queue and not once per call.
select
    account,
    queue_kind,
    queue_name
from {{ ref('int_queue_calls__unioned') }}
where {{ touched('context', 'call_day') }}
group by account, queue_kind, queue_name
