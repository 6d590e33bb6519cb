-- The loaded days that the marts hold now; the next build compares with them. It comes last, after all marts and their tests:
-- depends_on: {{ ref('restatements') }} {{ ref('int_days__published') }}
select * from {{ ref('int_days__seen') }}
