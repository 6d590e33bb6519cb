-- All calls of a queue have the same targets: those of the seed at the last whole build.
select
    account,
    queue_kind,
    queue_name,
    max(target_seconds) as target_seconds,
    max(target_rate) as target_rate,
    max(short_abandon_seconds) as short_abandon_seconds
from marts.queue_calls
group by account, queue_kind, queue_name
order by account, queue_name, queue_kind
