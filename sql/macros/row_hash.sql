{#- The same text for the same row on every engine: null and empty differ, and no value can run into the next. -#}
{% macro row_hash(columns) -%}
    md5(concat(
        {%- for column in columns %}
        coalesce('=' || cast({{ column }} as text), ''), chr(31){% if not loop.last %},{% endif %}
        {%- endfor %}
    ))
{%- endmacro %}
