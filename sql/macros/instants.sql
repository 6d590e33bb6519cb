{#- Microseconds since 1970 UTC, exact: subtracting instants directly follows the session's zone in DuckDB. -#}
{% macro epoch_micros(instant) -%}
    {{ adapter.dispatch('epoch_micros')(instant) }}
{%- endmacro %}

{% macro default__epoch_micros(instant) -%}
    cast(extract(epoch from {{ instant }}) * 1000000 as bigint)
{%- endmacro %}

{% macro duckdb__epoch_micros(instant) -%}
    epoch_us({{ instant }})
{%- endmacro %}

{#- Whole seconds from one instant to another, rounded down; null when either is. -#}
{% macro seconds_between(start_at, end_at) -%}
    cast(floor(({{ epoch_micros(end_at) }} - {{ epoch_micros(start_at) }}) / 1000000.0) as bigint)
{%- endmacro %}

{#- Not `greatest(…, 0)`, which would make 0 of an unknown. -#}
{% macro not_negative(seconds) -%}
    case when {{ seconds }} < 0 then 0 else {{ seconds }} end
{%- endmacro %}

{#- The quarter of an hour an instant lies in, as a number, and its instant. Every zone's offset is a multiple of it. -#}
{% macro quarter_number(instant) -%}
    cast(floor({{ epoch_micros(instant) }} / 900000000.0) as bigint)
{%- endmacro %}

{% macro quarter_start(number) -%}
    to_timestamp(cast({{ number }} * 900 as double precision))
{%- endmacro %}

{% macro in_zone(instant, timezone) -%}
    {{ instant }} at time zone {{ timezone }}
{%- endmacro %}

{#- The second since 1970 UTC at which the local hour of `local_at` began, counted in the offset that holds at `instant`. -#}
{% macro hour_start_second(instant, local_at) -%}
    cast(floor(({{ epoch_micros(instant) }} - {{ epoch_micros(local_at) }} % 3600000000) / 1000000.0) as bigint)
{%- endmacro %}

{% macro utc_offset_minutes(instant, local_at) -%}
    cast(floor(({{ epoch_micros(local_at) }} - {{ epoch_micros(instant) }}) / 60000000.0) as bigint)
{%- endmacro %}

{#- Minutes since midnight of a text `HH:MM`. -#}
{% macro minute_of_day(clock) -%}
    cast(split_part({{ clock }}, ':', 1) as bigint) * 60 + cast(split_part({{ clock }}, ':', 2) as bigint)
{%- endmacro %}

{#- The instant at which a local date begins, as a time of day in UTC. -#}
{% macro day_start_utc(local_date, timezone) -%}
    cast({{ local_date }} as timestamp) at time zone {{ timezone }} at time zone 'UTC'
{%- endmacro %}
