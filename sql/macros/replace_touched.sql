{#-
    Incremental marts are replaced date by date. `int_dates__touched` lists the dates that a build must look at, by reach: how
    far from a reloaded day a number can change. One condition selects the rows to delete and the rows to insert.
-#}
{% macro touched(reach, column='local_date') -%}
    {%- set dates = ref('int_dates__touched') -%}
    {%- if is_incremental() -%}
        {{ is_touched(dates, reach, column) }}
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}

{% macro is_touched(dates, reach, column) -%}
    {%- set table = column.rpartition('.')[0] -%}
    (
        ({{ table ~ '.' if table }}account, {{ column }}) in (select account, local_date from {{ dates }} where reach = '{{ reach }}')
        {{- touched_bounds(dates, reach, column) }}
    )
{%- endmacro %}

{#- The first and last of those dates as literals: with them an engine skips years of rows; with a subquery it reads all. -#}
{% macro touched_bounds(dates, reach, column) -%}
    {%- if execute and flags.WHICH in ('build', 'run', 'test') -%}
        {%- set bounds = run_query("select min(local_date), max(local_date) from " ~ dates ~ " where reach = '" ~ reach ~ "'") -%}
        {%- if bounds.rows[0][0] %}
        and {{ column }} between date '{{ bounds.rows[0][0] }}' and date '{{ bounds.rows[0][1] }}'
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{#- `meta.reach` is the reach, `unique_key[1]` the date's column, `meta.always` a condition for rows replaced every time. -#}
{% macro get_incremental_replace_sql(arguments) %}
    {%- set meta = config.get('meta') or {} -%}
    {%- set dates = builtins.ref('int_dates__touched') -%}
    {%- set columns = arguments.dest_columns | map(attribute='quoted') | join(', ') -%}
    delete from {{ arguments.target_relation }}
    where {{ is_touched(dates, meta.get('reach', 'day'), arguments.unique_key[1]) }}
    {%- if meta.get('always') %} or {{ meta.get('always') }}{% endif %};

    insert into {{ arguments.target_relation }} ({{ columns }})
    select {{ columns }} from {{ arguments.temp_relation }};
{% endmacro %}
