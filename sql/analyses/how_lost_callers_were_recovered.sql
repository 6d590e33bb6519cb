-- Do we call back, or do callers have to try again? By month, with the median time until then.
select
    account,
    date_trunc('month', local_date) as month_start,
    count(*) as lost_calls_count,
    count(*) filter (where recovered_by = 'callback') as called_back_count,
    count(*) filter (where recovered_by = 'called_again') as called_again_count,
    count(*) filter (where recovered_by is null and not is_open) as never_reached_count,
    percentile_cont(0.5) within group (order by seconds_to_recovery) as recovery_p50_seconds
from {{ ref('lost_calls') }}
group by account, date_trunc('month', local_date)
order by account, month_start
