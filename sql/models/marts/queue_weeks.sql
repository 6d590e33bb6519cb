{{ config(unique_key=['account', 'week_start_date'], meta={'reach': 'week'}) }}

with measured as (
    select
        account,
        queue_kind,
        queue_name,
        cast(date_trunc('week', local_date) as date) as week_start_date,
        {{ queue_measures() }}
    from {{ ref('queue_calls') }}
    where {{ touched('week') }}
    group by account, queue_kind, queue_name, cast(date_trunc('week', local_date) as date)
)

select
    *,
    cast(extract(isoyear from week_start_date) as bigint) as iso_year,
    cast(extract(week from week_start_date) as bigint) as iso_week,
    {{ queue_rates() }}
from measured
