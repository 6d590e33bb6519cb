with ranked as (
    select
        queues.account,
        queues.queue_kind,
        queues.queue_name,
        targets.target_seconds,
        targets.target_rate,
        targets.short_abandon_seconds,
        row_number() over (
            partition by queues.account, queues.queue_kind, queues.queue_name
            order by
                case when targets.queue_name = '*' then 1 else 0 end,
                case when targets.account = '*' then 1 else 0 end
        ) as closeness
    from {{ ref('int_queues__listed') }} as queues
    left join {{ ref('queue_targets') }} as targets
        on
            targets.account in (queues.account, '*')
            and targets.queue_name in (queues.queue_name, '*')
)

select
    account,
    queue_kind,
    queue_name,
    coalesce(target_seconds, 20) as target_seconds,
    coalesce(target_rate, 0.8) as target_rate,
    coalesce(short_abandon_seconds, 5) as short_abandon_seconds
from ranked
where closeness = 1
