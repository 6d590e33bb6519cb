{{ config(unique_key=['account', 'local_date']) }}

with measured as (
    select
        account,
        local_date,
        {{ queue_measures() }}
    from {{ ref('queue_calls') }}
    where {{ touched('day') }}
    group by account, local_date
)

select
    *,
    {{ queue_rates() }}
from measured
