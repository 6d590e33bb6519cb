with source as (
    select * from {{ source('raw', 'ringgroup_calls') }}
),

renamed as (
    select
        cast(account as text) as account,
        call_day,
        'ring_group' as queue_kind,
        coalesce(nullif(trim(cast(ring_group_name as text)), ''), '(unnamed)') as queue_name,
        {{ known_number('callerid') }} as caller_number,
        {{ is_anonymous('callerid') }} as is_anonymous,
        nullif(trim(inbound_number), '') as inbound_number,
        call_start_at as entered_at,
        call_answered_at as answered_at,
        call_finished_at as finished_at,
        nullif(trim(answered_by_user_name), '') as answered_by,
        nullif(lower(trim(status)), '') as status,
        cast(extra as text) as extra
    from source
)

select
    renamed.*,
    coalesce(accounts.timezone, 'UTC') as timezone,
    {{ in_zone('renamed.entered_at', "coalesce(accounts.timezone, 'UTC')") }} as entered_at_local,
    cast({{ in_zone('renamed.entered_at', "coalesce(accounts.timezone, 'UTC')") }} as date) as local_date
from renamed
left join {{ ref('stg_voipcloud__accounts') }} as accounts on renamed.account = accounts.account
