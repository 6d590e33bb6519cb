{{ config(unique_key=['account', 'local_date']) }}

with measured as (
    select
        account,
        coalesce(inbound_number, '(unknown)') as inbound_number,
        local_date,
        {{ queue_measures() }}
    from {{ ref('queue_calls') }}
    where {{ touched('day') }}
    group by account, coalesce(inbound_number, '(unknown)'), local_date
)

select
    *,
    {{ queue_rates() }}
from measured
