-- Loads may go on while models are built: what this build has seen is fixed here, and becomes int_days__built at its end.
select
    days.account,
    days.endpoint,
    days.call_day,
    days.loaded_at,
    coalesce(accounts.timezone, 'UTC') as timezone,
    cast('{{ var("project_fingerprint") }}' as text) as project_fingerprint
from {{ ref('stg_voipcloud__loaded_days') }} as days
left join {{ ref('stg_voipcloud__accounts') }} as accounts on days.account = accounts.account
