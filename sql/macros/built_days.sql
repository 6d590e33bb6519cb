{#-
    The loaded days as of the last whole build; empty before the first build and in a full refresh. Not a ref(), because
    int_days__built comes last, after every mart and its tests. So the next build repeats a build that failed.
-#}
{% macro built_days() -%}
    {%- set built = adapter.get_relation(target.database, 'intermediate', 'int_days__built') if execute -%}
    {%- if built and not flags.FULL_REFRESH -%}
        {{ built }}
    {%- else -%}
        (select * from {{ ref('int_days__seen') }} where false)
    {%- endif -%}
{%- endmacro %}

{#- The local days that earlier builds have published, also in a full refresh. Not a ref(), because their model comes later. -#}
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
