{#- Status wins over timestamps. A status that the PBX's article does not list is `other` once the call has ended. -#}
{% macro outcome() -%}
    case
        when status in ('answered', 'abandoned', 'timedout') then status
        when finished_at is null then 'in_progress'
        else 'other'
    end
{%- endmacro %}

{#- Entry to answer for answered calls, entry to end for other outcomes, null while in progress. -#}
{% macro wait_seconds() -%}
    case
        when outcome = 'answered' then {{ not_negative(seconds_between('entered_at', 'answered_at')) }}
        when outcome <> 'in_progress' then {{ not_negative(seconds_between('entered_at', 'finished_at')) }}
    end
{%- endmacro %}

{% macro talk_seconds() -%}
    case when outcome = 'answered' then {{ not_negative(seconds_between('answered_at', 'finished_at')) }} end
{%- endmacro %}

{#- The end of a call, at most `followed_hours` after its entry, so that a stuck record does not wait for days. -#}
{% macro followed_until(end_at) -%}
    case
        when {{ end_at }} > entered_at + interval '{{ var("followed_hours") }} hours'
            then entered_at + interval '{{ var("followed_hours") }} hours'
        else {{ end_at }}
    end
{%- endmacro %}

{#- Whether a visit that enters at `entered_at` continues the one that ended at `ended_at`. -#}
{% macro is_linked(ended_at, entered_at) -%}
    coalesce(
        {{ entered_at }} >= {{ ended_at }}
        and {{ entered_at }} <= {{ ended_at }} + interval '{{ var("journey_link_seconds") }} seconds',
        false
    )
{%- endmacro %}
