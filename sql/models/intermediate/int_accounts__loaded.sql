-- When each account was last loaded, as this build found it.
select
    account,
    max(loaded_at) as last_load_at
from {{ ref('int_days__seen') }}
group by account
