-- An account without a row in raw.accounts would have its local times taken for UTC.
select days.account
from {{ ref('int_days__seen') }} as days
left join {{ ref('stg_voipcloud__accounts') }} as accounts on days.account = accounts.account
where accounts.account is null
