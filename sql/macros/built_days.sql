{#-
    What the last whole build had seen, or nothing before the first and in a full refresh. Not a ref(): int_days__built comes
    last, after every mart and its tests, so a build that failed is done again by the next.
-#}
{% macro built_days() -%}
    {%- set built = adapter.get_relation(target.database, 'intermediate', 'int_days__built') if execute -%}
    {%- if built and not flags.FULL_REFRESH -%}
        {{ built }}
    {%- else -%}
        (select * from {{ ref('int_days__seen') }} where false)
    {%- endif -%}
{%- endmacro %}

{#- Days before and after a reloaded UTC day on whose local dates a number can change (or which must be read to compute it). -#}
{% macro reaches() %}
    {%- set followed = [var('repeat_hours'), var('followed_hours')] | max -%}
    {%- set followed_days = (followed + 23) // 24 -%}
    {%- set recovery_days = (var('recovery_hours') + 23) // 24 -%}
    {{ return({
        'day': (-1, 1 + followed_days),
        'context': (-2 - followed_days, 2 + followed_days),
        'lost': (-2 - recovery_days, 1),
        'contact': (-2 - recovery_days, 3 + recovery_days),
        'journey': (-8, 2 + followed_days),
        'visit': (-10, 10),
    }) }}
{% endmacro %}
