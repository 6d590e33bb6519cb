select
    cast(account as text) as account,
    cast(endpoint as text) as endpoint,
    cast(record_hash as text) as record_hash,
    copies_count,
    first_seen_at,
    last_seen_at,
    cast(reason as text) as reason,
    cast(record as text) as record
from {{ source('raw', 'unplaced_records') }}
