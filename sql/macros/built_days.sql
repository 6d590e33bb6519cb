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

{#- Local days that earlier builds had published, also in a full refresh; not a ref(), as they come after what reads them. -#}
{% macro published_days() -%}
    {%- set published = adapter.get_relation(target.database, 'intermediate', 'int_days__published') if execute -%}
    {%- if published -%}
        {{ published }}
    {%- else -%}
        (
            select
                account,
                queue_kind,
                local_date,
                cast(null as timestamp with time zone) as published_at
            from {{ ref('int_days__completed') }}
            where false
        ) as published
    {%- endif -%}
{%- endmacro %}
