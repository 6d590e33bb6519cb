{#-
    `where: touched` is the default for tests of marts (dbt_project.yml). It tests an incremental mart on the dates that this
    build has replaced (after a full refresh: all), so that the cost of the tests follows the night's data.
-#}
{% macro get_where_subquery(relation) -%}
    {%- set where = config.get('where', '') -%}
    {%- set node = (graph.nodes.values() | selectattr('name', 'equalto', relation.identifier) | first) if execute -%}
    {%- if not where or (where == 'touched' and not (node and node.config.incremental_strategy == 'replace'
        and node.config.materialized == 'incremental')) -%}
        {{ relation }}
    {%- elif where == 'touched' -%}
        {%- set dates = api.Relation.create(database=target.database, schema='intermediate', identifier='int_dates__touched') -%}
        (
            select * from {{ relation }}
            where {{ is_touched(dates, node.config.meta.get('reach', 'day'), node.config.unique_key[1]) }}
        ) as tested
    {%- else -%}
        (select * from {{ relation }} where {{ where }}) as tested
    {%- endif -%}
{%- endmacro %}
