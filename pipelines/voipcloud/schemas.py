"""The columns of every table in `raw`, each table once: Arrow's types, and the SQL types that follow from them.

Call fields and what may be null: the vendor's article (version 1) and public clients of the live service.
"""

from collections.abc import Collection, Mapping

import pyarrow as pa

TEXT, INSTANT, DATE = pa.string(), pa.timestamp("us", "UTC"), pa.date32()
NUMBER, FLAG = pa.int64(), pa.bool_()
_SQL_TYPES = {TEXT: "text", INSTANT: "timestamp with time zone", DATE: "date", NUMBER: "bigint", FLAG: "boolean"}

_VISIT = {
    "callerid": TEXT,
    "inbound_number": TEXT,
    "call_start_at": INSTANT,
    "call_answered_at": INSTANT,
    "call_finished_at": INSTANT,
    "answered_by_user_name": TEXT,
    "status": TEXT,
}
# Endpoint → the fields of its records on the wire.
FIELDS: dict[str, dict[str, pa.DataType]] = {
    "user_calls": {
        "from_number": TEXT,
        "to_number": TEXT,
        "user_name": TEXT,
        "is_inbound": FLAG,
        "call_start_at": INSTANT,
        "call_duration": NUMBER,
        "call_finished_at": INSTANT,
        "conversation_duration": NUMBER,
    },
    "queue_calls": {"queue_name": TEXT, **_VISIT},
    "ringgroup_calls": {"ring_group_name": TEXT, **_VISIT},
}
ENDPOINTS = tuple(FIELDS)
# Without these a record cannot be placed in time, in a queue, or in a direction.
REQUIRED = {
    "user_calls": ("call_start_at", "is_inbound"),
    "queue_calls": ("queue_name", "call_start_at"),
    "ringgroup_calls": ("ring_group_name", "call_start_at"),
}


def _schema(columns: Mapping[str, pa.DataType], optional: Collection[str] = ()) -> pa.Schema:
    return pa.schema([pa.field(name, kind, nullable=name in optional) for name, kind in columns.items()])


def _calls(endpoint: str) -> pa.Schema:
    fields = FIELDS[endpoint]
    columns = {"account": TEXT, "call_day": DATE, "loaded_at": INSTANT, **fields, "extra": TEXT}
    return _schema(columns, {*fields, "extra"}.difference(REQUIRED[endpoint]))


_LIST = {"account": TEXT, "endpoint": TEXT}
# Table → its columns as a load writes them.
SCHEMAS: dict[str, pa.Schema] = {
    **{endpoint: _calls(endpoint) for endpoint in ENDPOINTS},
    "rejected_records": _schema(_LIST | {"call_day": DATE, "reason": TEXT, "record": TEXT, "loaded_at": INSTANT}),
    "unplaced_records": _schema(
        _LIST
        | {
            "record_hash": TEXT,
            "copies_count": NUMBER,
            "first_seen_at": INSTANT,
            "last_seen_at": INSTANT,
            "record": TEXT,
            "reason": TEXT,
        }
    ),
    "loaded_days": _schema(
        _LIST
        | {
            "call_day": DATE,
            "calls_count": NUMBER,
            "rejected_count": NUMBER,
            "unfinished_count": NUMBER,
            "is_settled": FLAG,
            "offered_less_count": NUMBER,
            "loaded_at": INSTANT,
        },
        {"offered_less_count"},
    ),
    "lists": _schema(_LIST | {"whole_read_at": INSTANT}),
    "accounts": _schema({"account": TEXT, "timezone": TEXT, "loaded_at": INSTANT}),
    "system_status": _schema({"account": TEXT, "checked_at": INSTANT, "status": TEXT, "payload": TEXT}, {"status"}),
}
# Table → column → SQL type, by the names that DuckDB and Postgres share; dlt's own column comes last.
SQL_TABLES = {
    table: {field.name: _SQL_TYPES[field.type] for field in schema} | {"_dlt_load_id": "text"}
    for table, schema in SCHEMAS.items()
}
