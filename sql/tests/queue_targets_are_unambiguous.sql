-- With two rows for the same account and queue the target would be random.
select
    account,
    queue_name
from {{ ref('queue_targets') }}
group by account, queue_name
having count(*) > 1
