{#- Exact microseconds since 1970 UTC. In DuckDB the direct difference of two instants depends on the session's zone. -#}
{% macro epoch_micros(instant) -%}
    {{ adapter.dispatch('epoch_micros')(instant) }}
{%- endmacro %}

{% macro default__epoch_micros(instant) -%}
    cast(extract(epoch from {{ instant }}) * 1000000 as bigint)
{%- endmacro %}

{% macro duckdb__epoch_micros(instant) -%}
    epoch_us({{ instant }})
{%- endmacro %}

{#- Whole seconds from one instant to another, rounded down; null if either is null. -#}
{% macro seconds_between(start_at, end_at) -%}
    cast(floor(({{ epoch_micros(end_at) }} - {{ epoch_micros(start_at) }}) / 1000000.0) as bigint)
{%- endmacro %}

{#- Not `greatest(…, 0)`, which would turn null into 0. -#}
{% macro not_negative(seconds) -%}
    case when {{ seconds }} < 0 then 0 else {{ seconds }} end
{%- endmacro %}

{#- The number of the quarter hour of an instant. The offset of every zone is a multiple of a quarter hour. -#}
{% macro quarter_number(instant) -%}
    cast(floor({{ epoch_micros(instant) }} / 900000000.0) as bigint)
{%- endmacro %}

{% macro quarter_start(number) -%}
    to_timestamp(cast({{ number }} * 900 as double precision))
{%- endmacro %}

{% macro in_zone(instant, timezone) -%}
    {{ instant }} at time zone {{ timezone }}
{%- endmacro %}

{#- The start of the local hour of `local_at` in seconds since 1970 UTC, by the offset at `instant`. -#}
{% macro hour_start_second(instant, local_at) -%}
    cast(floor(({{ epoch_micros(instant) }} - {{ epoch_micros(local_at) }} % 3600000000) / 1000000.0) as bigint)
{%- endmacro %}

{% macro utc_offset_minutes(instant, local_at) -%}
    cast(floor(({{ epoch_micros(local_at) }} - {{ epoch_micros(instant) }}) / 60000000.0) as bigint)
{%- endmacro %}

{#- Minutes since midnight for a text `HH:MM`. -#}
{% macro minute_of_day(clock) -%}
    cast(split_part({{ clock }}, ':', 1) as bigint) * 60 + cast(split_part({{ clock }}, ':', 2) as bigint)
{%- endmacro %}

{#- The instant at which a local date begins, as a timestamp in UTC. -#}
{% macro day_start_utc(local_date, timezone) -%}
    cast({{ local_date }} as timestamp) at time zone {{ timezone }} at time zone 'UTC'
{%- endmacro %}
