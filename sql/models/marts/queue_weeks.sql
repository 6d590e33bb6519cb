{{ config(unique_key=['account', 'week_start_date'], meta={'reach': 'week'}) }}

with measured as (
    select
        account,
        queue_kind,
        queue_name,
        cast(date_trunc('week', local_date) as date) as week_start_date,
        cast(extract(isoyear from local_date) as bigint) as iso_year,
        cast(extract(week from local_date) as bigint) as iso_week,
        {{ queue_measures() }}
    from {{ ref('queue_calls') }}
    where {{ touched('week') }}
    group by
        account,
        queue_kind,
        queue_name,
        cast(date_trunc('week', local_date) as date),
        cast(extract(isoyear from local_date) as bigint),
        cast(extract(week from local_date) as bigint)
)

select
    *,
    {{ queue_rates() }}
from measured
