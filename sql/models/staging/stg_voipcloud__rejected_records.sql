select
    cast(account as text) as account,
    cast(endpoint as text) as endpoint,
    call_day,
    cast(reason as text) as reason,
    cast(record as text) as record,
    loaded_at
from {{ source('raw', 'rejected_records') }}
