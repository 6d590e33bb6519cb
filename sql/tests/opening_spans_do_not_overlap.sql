-- Overlapping spans of one queue and weekday would count a call twice. A span past midnight must be written as two.
with spans as (
    select
        *,
        lag(closes_minute) over (
            partition by account, queue_kind, queue_name, iso_weekday order by opens_minute, closes_minute
        ) as closed_before_minute
    from {{ ref('int_queues__opened') }}
)

select * from spans
where opens_minute < closed_before_minute or opens_minute > closes_minute or opens_minute < 0 or closes_minute > 1440
