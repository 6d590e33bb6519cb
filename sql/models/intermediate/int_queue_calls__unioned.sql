{{ config(materialized='view') }}

select * from {{ ref('stg_voipcloud__queue_calls') }}
union all
select * from {{ ref('stg_voipcloud__ringgroup_calls') }}
