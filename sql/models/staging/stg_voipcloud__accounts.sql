select
    cast(account as text) as account,
    cast(timezone as text) as timezone,
    loaded_at
from {{ source('raw', 'accounts') }}
