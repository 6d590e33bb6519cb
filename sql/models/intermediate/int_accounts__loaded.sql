-- The last load of each account, as of the start of this build.
select
    account,
    max(loaded_at) as last_load_at
from {{ ref('int_days__seen') }}
group by account
