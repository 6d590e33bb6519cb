-- Two rows for the same account and queue would make the target a matter of chance.
select
    account,
    queue_name
from {{ ref('queue_targets') }}
group by account, queue_name
having count(*) > 1
