{{ config(materialized='view') }}

-- Every answered conversation with a number, inbound or outbound: the contacts that can recover a lost caller.
select
    account,
    local_date,
    caller_number as number,
    entered_at as contacted_at,
    'called_again' as contact
from {{ ref('queue_calls') }}
where outcome = 'answered' and caller_number is not null
union all
select
    account,
    local_date,
    case when direction = 'inbound' then caller_number else called_number end as number,
    started_at as contacted_at,
    case when direction = 'inbound' then 'called_again' else 'callback' end as contact
from {{ ref('user_calls') }}
where is_answered
