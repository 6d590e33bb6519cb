{% test outcomes_add_up(model) %}
    select *
    from {{ model }}
    where
        offered_count <> answered_count + abandoned_count + timedout_count + other_count
        or short_abandoned_count > abandoned_count
        or abandoned_within_target_count > abandoned_count
        or answered_within_target_count > answered_count
        or anonymous_count > offered_count
        or in_hours_offered_count > offered_count
{% endtest %}
