-- Loads may go on during a build. So this fixes the loaded days that the build uses; at its end they become int_days__built.
select
    days.account,
    days.endpoint,
    days.call_day,
    days.loaded_at,
    coalesce(accounts.timezone, 'UTC') as timezone,
    cast('{{ var("project_fingerprint") }}' as text) as project_fingerprint
from {{ ref('stg_voipcloud__loaded_days') }} as days
left join {{ ref('stg_voipcloud__accounts') }} as accounts on days.account = accounts.account
