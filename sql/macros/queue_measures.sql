{#- Measures that add up, so that a period is the sum of its parts. All but in_progress_count are of offered calls only. -#}
{% macro additive_queue_measures() -%}
    count(*) filter (where outcome <> 'in_progress') as offered_count,
    count(*) filter (where outcome = 'answered') as answered_count,
    count(*) filter (where outcome = 'abandoned') as abandoned_count,
    count(*) filter (where is_short_abandon) as short_abandoned_count,
    count(*) filter (where outcome = 'timedout') as timedout_count,
    count(*) filter (where outcome = 'other') as other_count,
    count(*) filter (where outcome = 'in_progress') as in_progress_count,
    count(*) filter (where is_within_target) as answered_within_target_count,
    count(*) filter (where outcome = 'abandoned' and wait_seconds <= target_seconds) as abandoned_within_target_count,
    count(*) filter (where is_anonymous and outcome <> 'in_progress') as anonymous_count,
    count(*) filter (where is_in_hours and outcome <> 'in_progress') as in_hours_offered_count,
    count(wait_seconds) filter (where outcome = 'answered') as wait_answered_count,
    cast(coalesce(sum(wait_seconds) filter (where outcome = 'answered'), 0) as bigint) as wait_answered_total_seconds,
    count(wait_seconds) filter (where outcome = 'abandoned') as wait_abandoned_count,
    cast(coalesce(sum(wait_seconds) filter (where outcome = 'abandoned'), 0) as bigint) as wait_abandoned_total_seconds,
    max(wait_seconds) as longest_wait_seconds,
    count(talk_seconds) as talk_count,
    cast(coalesce(sum(talk_seconds), 0) as bigint) as talk_total_seconds
{%- endmacro %}

{% macro queue_measures() -%}
    {{ additive_queue_measures() }},
    {{ wait_percentiles('answered') }},
    {{ wait_percentiles('abandoned') }},
    count(distinct case when outcome <> 'in_progress' then caller_number end) as unique_callers_count,
    count(distinct case when is_repeat and outcome <> 'in_progress' then caller_number end) as repeat_callers_count
{%- endmacro %}

{% macro wait_percentiles(outcome) -%}
    {%- for percent in (50, 90, 95) %}
    {{ wait_percentile(outcome, percent) }} as wait_{{ outcome }}_p{{ percent }}_seconds,
    {%- endfor %}
    max(wait_seconds) filter (where outcome = '{{ outcome }}') as wait_{{ outcome }}_max_seconds
{%- endmacro %}

{% macro wait_percentile(outcome, percent) -%}
    {{ adapter.dispatch('wait_percentile')(outcome, percent) }}
{%- endmacro %}

{% macro default__wait_percentile(outcome, percent) -%}
    percentile_cont(0.{{ percent }}) within group (order by wait_seconds) filter (where outcome = '{{ outcome }}')
{%- endmacro %}

{#- All three percentiles from one list of waits; otherwise DuckDB would collect the list three times. -#}
{% macro duckdb__wait_percentile(outcome, percent) -%}
    (quantile_cont(wait_seconds, [0.5, 0.9, 0.95]) filter (where outcome = '{{ outcome }}'))[
        {{- {50: 1, 90: 2, 95: 3}[percent] -}}
    ]
{%- endmacro %}

{#- Fractions from 0 to 1, and averages in seconds; null if the denominator is 0. -#}
{% macro queue_rates() -%}
    {{ rate('abandoned_count', 'offered_count') }} as abandonment_rate,
    {{ rate('abandoned_count - short_abandoned_count', 'offered_count - short_abandoned_count') }} as abandonment_net_rate,
    {{ rate('abandoned_count + timedout_count', 'offered_count') }} as lost_rate,
    {{ rate('answered_count', 'offered_count') }} as answer_rate,
    {{ rate('answered_within_target_count', 'offered_count') }} as service_level_offered_rate,
    {{ rate('answered_within_target_count', 'offered_count - short_abandoned_count') }} as service_level_net_rate,
    {{ rate('answered_within_target_count', 'answered_count') }} as service_level_answered_rate,
    {{ rate('answered_within_target_count + abandoned_within_target_count', 'offered_count') }} as service_level_removed_rate,
    {{ rate('answered_within_target_count', 'offered_count - abandoned_within_target_count') }}
        as service_level_late_abandons_rate,
    {{ rate('answered_within_target_count + short_abandoned_count', 'offered_count') }} as service_level_icmi_rate,
    {{ rate('anonymous_count', 'offered_count') }} as anonymous_rate,
    {{ rate('wait_answered_total_seconds', 'wait_answered_count') }} as average_speed_of_answer_seconds,
    {{ rate('wait_abandoned_total_seconds', 'wait_abandoned_count') }} as average_time_to_abandon_seconds,
    {{ rate('talk_total_seconds', 'talk_count') }} as talk_average_seconds
{%- endmacro %}

{% macro rate(part, whole) -%}
    cast({{ part }} as double precision) / nullif({{ whole }}, 0)
{%- endmacro %}
