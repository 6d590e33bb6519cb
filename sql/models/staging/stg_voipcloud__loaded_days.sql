select
    cast(account as text) as account,
    cast(endpoint as text) as endpoint,
    call_day,
    calls_count,
    rejected_count,
    unfinished_count,
    is_settled,
    offered_less_count,
    loaded_at
from {{ source('raw', 'loaded_days') }}
