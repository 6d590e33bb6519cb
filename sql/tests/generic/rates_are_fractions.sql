{% test rates_are_fractions(model, columns) %}
    select *
    from {{ model }}
    where {% for column in columns %}{{ column }} not between 0 and 1{% if not loop.last %} or {% endif %}{% endfor %}
{% endtest %}
