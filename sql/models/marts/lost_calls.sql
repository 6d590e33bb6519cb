{{ config(unique_key=['account', 'local_date'], meta={'reach': 'lost', 'always': 'is_open'}) }}

{%- set columns %}
        queue_call_id,
        account,
        queue_kind,
        queue_name,
        caller_number,
        inbound_number,
        entered_at,
        entered_at_local,
        local_date,
        outcome,
        wait_seconds,
{%- endset %}

{%- set following %}
            partition by account, number
            order by moment_at, case when queue_call_id is null then 1 else 0 end
            rows between current row and unbounded following
{%- endset %}

with lost as (
    select
        {{- columns }}
        coalesce({{ followed_until('finished_at') }}, entered_at) as lost_at
    from {{ ref('queue_calls') }}
    where outcome in ('abandoned', 'timedout') and caller_number is not null and {{ touched('lost') }}
    {%- if is_incremental() %}
    -- Nothing near these open calls was reloaded, so nothing recovered them, but their 72 hours may have passed.
    union all
    select
        {{- columns }}
        lost_at
    from {{ this }}
    where is_open and not {{ touched('lost') }}
    {%- endif %}
),

contacts as (
    select
        account,
        number,
        contacted_at,
        contact
    from {{ ref('int_contacts__answered') }}
    where
        {{ touched('contact') }}
        and (account, number) in (
            select
                lost.account,
                lost.caller_number
            from lost
        )
),

moments as (
    select
        account,
        caller_number as number,
        lost_at as moment_at,
        queue_call_id,
        null as called_back_at,
        null as called_again_at
    from lost
    union all
    select
        account,
        number,
        contacted_at as moment_at,
        null as queue_call_id,
        case when contact = 'callback' then contacted_at end as called_back_at,
        case when contact = 'called_again' then contacted_at end as called_again_at
    from contacts
),

-- At equal instants the lost call comes first, so that a contact at the same instant counts as later.
followed as (
    select
        queue_call_id,
        moment_at + interval '{{ var("recovery_hours") }} hours' as closes_at,
        min(called_back_at) over (
            {{- following }}
        ) as called_back_at,
        min(called_again_at) over (
            {{- following }}
        ) as called_again_at
    from moments
),

recovered as (
    select
        lost.*,
        followed.closes_at,
        case when followed.called_back_at <= followed.closes_at then followed.called_back_at end as called_back_at,
        case when followed.called_again_at <= followed.closes_at then followed.called_again_at end as called_again_at
    from lost
    inner join followed on lost.queue_call_id = followed.queue_call_id
)

select
    {{- columns | replace('        ', '    recovered.') | replace('\n    recovered.', '\n    recovered.') }}
    recovered.lost_at,
    case
        when recovered.called_back_at <= coalesce(recovered.called_again_at, recovered.called_back_at) then 'callback'
        when recovered.called_again_at is not null then 'called_again'
    end as recovered_by,
    least(recovered.called_back_at, recovered.called_again_at) as recovered_at,
    {{ seconds_between('recovered.lost_at', 'least(recovered.called_back_at, recovered.called_again_at)') }}
        as seconds_to_recovery,
    coalesce(
        recovered.called_back_at is null and recovered.called_again_at is null and loads.last_load_at <= recovered.closes_at,
        false
    ) as is_open
from recovered
left join {{ ref('int_accounts__loaded') }} as loads on recovered.account = loads.account
