select
    cast(account as text) as account,
    checked_at,
    nullif(trim(status), '') as status,
    cast(payload as text) as payload
from {{ source('raw', 'system_status') }}
