-- Without a row in raw.accounts, an account's local times would be in UTC.
select days.account
from {{ ref('int_days__seen') }} as days
left join {{ ref('stg_voipcloud__accounts') }} as accounts on days.account = accounts.account
where accounts.account is null
