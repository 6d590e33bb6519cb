{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='append_new_columns',
    full_refresh=false
) }}

-- Each local day of an account's queues or ring groups once published, whether or not a queue had calls on it.
-- Never rebuilt, as int_queue_days__published, after which it comes: that asks what earlier builds had published.
-- depends_on: {{ ref('int_queue_days__published') }}
select
    completed.account,
    completed.queue_kind,
    completed.local_date,
    loads.last_load_at as published_at
from {{ ref('int_days__completed') }} as completed
inner join {{ ref('int_accounts__loaded') }} as loads on completed.account = loads.account
{%- if is_incremental() %}
left join {{ this }} as published
    on
        completed.account = published.account
        and completed.queue_kind = published.queue_kind
        and completed.local_date = published.local_date
where published.account is null
{%- endif %}
