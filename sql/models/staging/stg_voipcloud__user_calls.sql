with source as (
    select * from {{ source('raw', 'user_calls') }}
),

renamed as (
    select
        cast(account as text) as account,
        call_day,
        case when is_inbound then 'inbound' else 'outbound' end as direction,
        {{ known_number('from_number') }} as caller_number,
        {{ is_anonymous('from_number') }} as is_anonymous,
        nullif(trim(to_number), '') as called_number,
        coalesce(nullif(trim(user_name), ''), '(unnamed)') as user_name,
        call_start_at as started_at,
        call_finished_at as finished_at,
        call_duration as call_seconds,
        conversation_duration as conversation_seconds,
        cast(extra as text) as extra
    from source
)

select
    renamed.*,
    coalesce(accounts.timezone, 'UTC') as timezone,
    {{ in_zone('renamed.started_at', "coalesce(accounts.timezone, 'UTC')") }} as started_at_local,
    cast({{ in_zone('renamed.started_at', "coalesce(accounts.timezone, 'UTC')") }} as date) as local_date
from renamed
left join {{ ref('stg_voipcloud__accounts') }} as accounts on renamed.account = accounts.account
