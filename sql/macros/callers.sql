{#- Whether a caller cannot be followed: there is no number, or a word in its place. -#}
{% macro is_anonymous(number) -%}
    coalesce(lower(trim({{ number }})), '') in ('', 'anonymous', 'private', 'withheld', 'unknown', '0')
{%- endmacro %}

{% macro known_number(number) -%}
    case when not {{ is_anonymous(number) }} then trim({{ number }}) end
{%- endmacro %}
