"""What the models read: the columns of each table in `raw`, for a warehouse in which no load has made it yet."""

_DAY = "account text, call_day date, loaded_at timestamp with time zone, _dlt_load_id text"
_VISIT = """
    inbound_number text, callerid text, call_start_at timestamp with time zone,
    call_answered_at timestamp with time zone, call_finished_at timestamp with time zone,
    answered_by_user_name text, status text, extra text
"""
RAW_TABLES = {
    "user_calls": f"""
        {_DAY}, from_number text, to_number text, user_name text, is_inbound boolean,
        call_start_at timestamp with time zone, call_duration bigint, call_finished_at timestamp with time zone,
        conversation_duration bigint, extra text
    """,
    "queue_calls": f"{_DAY}, queue_name text, {_VISIT}",
    "ringgroup_calls": f"{_DAY}, ring_group_name text, {_VISIT}",
    "rejected_records": f"{_DAY}, endpoint text, reason text, record text",
    "loaded_days": f"""
        {_DAY}, endpoint text, calls_count bigint, rejected_count bigint, unfinished_count bigint, is_settled boolean,
        offered_less_count bigint
    """,
    "accounts": "account text, timezone text, loaded_at timestamp with time zone, _dlt_load_id text",
    "system_status": "account text, checked_at timestamp with time zone, status text, payload text, _dlt_load_id text",
}
