select
    accounts.account,
    holidays.holiday_date
from {{ ref('stg_voipcloud__accounts') }} as accounts
inner join {{ ref('holidays') }} as holidays on holidays.account in (accounts.account, '*')
group by accounts.account, holidays.holiday_date
