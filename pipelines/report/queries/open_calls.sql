select
    account,
    caller_number,
    queue_kind,
    queue_name,
    outcome,
    entered_at_local,
    wait_seconds
from marts.lost_calls
where is_open
order by entered_at, queue_name
