"""What the models read: the columns of each table in `raw`, for a warehouse in which no load has made it yet."""

_INSTANT = "timestamp with time zone"
_DAY = {"account": "text", "call_day": "date", "loaded_at": _INSTANT, "_dlt_load_id": "text"}
_VISIT = {
    "callerid": "text",
    "inbound_number": "text",
    "call_start_at": _INSTANT,
    "call_answered_at": _INSTANT,
    "call_finished_at": _INSTANT,
    "answered_by_user_name": "text",
    "status": "text",
    "extra": "text",
}
RAW_TABLES: dict[str, dict[str, str]] = {
    "user_calls": _DAY
    | {
        "from_number": "text",
        "to_number": "text",
        "user_name": "text",
        "is_inbound": "boolean",
        "call_start_at": _INSTANT,
        "call_duration": "bigint",
        "call_finished_at": _INSTANT,
        "conversation_duration": "bigint",
        "extra": "text",
    },
    "queue_calls": _DAY | {"queue_name": "text"} | _VISIT,
    "ringgroup_calls": _DAY | {"ring_group_name": "text"} | _VISIT,
    "rejected_records": _DAY | {"endpoint": "text", "reason": "text", "record": "text"},
    "loaded_days": _DAY
    | {
        "endpoint": "text",
        "calls_count": "bigint",
        "rejected_count": "bigint",
        "unfinished_count": "bigint",
        "is_settled": "boolean",
        "offered_less_count": "bigint",
    },
    "accounts": {"account": "text", "timezone": "text", "loaded_at": _INSTANT, "_dlt_load_id": "text"},
    "system_status": {
        "account": "text",
        "checked_at": _INSTANT,
        "status": "text",
        "payload": "text",
        "_dlt_load_id": "text",
    },
}
