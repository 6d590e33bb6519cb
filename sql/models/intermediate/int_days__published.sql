{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='append_new_columns',
    full_refresh=false
) }}

-- Each published local day of an account's queues or ring groups, even if no queue had calls on it.
-- Never rebuilt, like int_queue_days__published. It comes after that model, which asks what earlier builds have published.
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
