-- Which queue passes its callers on, to which queue, and how many of them are answered?
select
    account,
    first_queue_name,
    last_queue_name,
    count(*) as journeys_count,
    count(*) filter (where final_outcome = 'answered') as answered_count,
    avg(wait_total_seconds) as wait_average_seconds
from {{ ref('caller_journeys') }}
where visits_count > 1
group by account, first_queue_name, last_queue_name
order by journeys_count desc, account asc, first_queue_name asc, last_queue_name asc
