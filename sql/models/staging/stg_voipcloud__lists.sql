select
    cast(account as text) as account,
    cast(endpoint as text) as endpoint,
    whole_read_at
from {{ source('raw', 'lists') }}
