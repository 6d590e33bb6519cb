-- What the marts now hold, for the next build to compare with. It comes last, after every mart and its tests:
-- depends_on: {{ ref('restatements') }} {{ ref('int_days__published') }}
select * from {{ ref('int_days__seen') }}
