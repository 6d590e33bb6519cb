-- Each queue call of a known caller is a visit of exactly one journey.
with visits as (
    select
        account,
        count(*) as visits_count
    from {{ ref('queue_calls') }}
    where not is_anonymous
    group by account
),

journeys as (
    select
        account,
        sum(visits_count) as visits_count
    from {{ ref('caller_journeys') }}
    group by account
)

select
    visits.account,
    journeys.account as journeys_account
from visits
full join journeys on visits.account = journeys.account
where visits.account is null or journeys.account is null or visits.visits_count <> journeys.visits_count
