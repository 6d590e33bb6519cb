{#- The same hash for equal rows on every engine. Null and empty differ, and values cannot run into each other. -#}
{% macro row_hash(columns) -%}
    md5(concat(
        {%- for column in columns %}
        coalesce('=' || cast({{ column }} as text), ''), chr(31){% if not loop.last %},{% endif %}
        {%- endfor %}
    ))
{%- endmacro %}
