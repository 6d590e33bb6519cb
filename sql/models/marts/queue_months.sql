{{ config(unique_key=['account', 'month_start_date'], meta={'reach': 'month'}) }}

with measured as (
    select
        account,
        queue_kind,
        queue_name,
        cast(date_trunc('month', local_date) as date) as month_start_date,
        {{ queue_measures() }}
    from {{ ref('queue_calls') }}
    where {{ touched('month') }}
    group by account, queue_kind, queue_name, cast(date_trunc('month', local_date) as date)
)

select
    *,
    {{ queue_rates() }}
from measured
