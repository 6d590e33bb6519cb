"""Records as JSON texts → typed columns, a record at a time, so that what one holds costs no other.

A record as the article says is decoded straight into its struct. Any other is put right as far as nothing is lost by it
(`"35"`, `35.0`, a number for a phone number, `true`), its unknown fields are kept as JSON, and then it is typed by the
same struct.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Annotated, Any

import msgspec
import orjson
import pyarrow as pa
from msgspec import Meta, Raw, Struct

from pipelines.voipcloud.records.timestamps import START, Numbers, parse_columns
from pipelines.voipcloud.schemas import FIELDS, FLAG, INSTANT, NUMBER, TEXT

LONGEST_SECONDS = 2**31 - 1  # as far as SQL's intervals go; -1 without its sign is beyond
WHOLE = re.compile(r"\s*-?[0-9]{1,19}\s*")
# An instant is typed later, with its column.
TYPES: dict[pa.DataType, Any] = {
    TEXT: str | None,
    INSTANT: str | None,
    NUMBER: Annotated[int, Meta(ge=0, le=LONGEST_SECONDS)] | None,
    FLAG: Annotated[int, Meta(ge=0, le=1)] | None,
}
MEANT = {
    TEXT: "a text",
    INSTANT: "a text",
    NUMBER: f"a whole number from 0 to {LONGEST_SECONDS}",
    FLAG: "0 or 1",
}
STRUCTS: dict[str, type[Struct]] = {
    endpoint: msgspec.defstruct(
        endpoint, [(name, TYPES[kind], None) for name, kind in fields.items()], forbid_unknown_fields=True, gc=False
    )
    for endpoint, fields in FIELDS.items()
}
DECODERS = {endpoint: msgspec.json.Decoder(struct) for endpoint, struct in STRUCTS.items()}


@dataclass(frozen=True)
class Typed:
    """A page's records, a row each, the unreadable ones among them with their `reasons` by row.

    `extra`: row → JSON of the fields that are not known; `sort_seconds` as in `timestamps.Instants`.
    """

    table: pa.Table
    extra: dict[int, str]
    sort_seconds: Numbers
    reasons: dict[int, str]


def parse_records(endpoint: str, records: Sequence[Raw], timezone: str) -> Typed:
    """Types records, JSON texts; one that cannot be read has a reason, and its start if that can be."""
    fields, decode = FIELDS[endpoint], DECODERS[endpoint].decode
    rows: list[Any] = []
    extra: dict[int, str] = {}
    reasons: dict[int, str] = {}
    for number, text in enumerate(records):
        try:
            rows.append(decode(text))
        except ValueError:
            record, unknown, reason = _read_odd(endpoint, text)
            rows.append(record)
            extra |= {number: unknown} if unknown else {}
            reasons |= {number: reason} if reason else {}
    columns = {
        name: pa.array(list(map(attrgetter(name), rows)), NUMBER if kind == FLAG else TEXT if kind == INSTANT else kind)
        for name, kind in fields.items()
    }
    texts = {name: columns[name] for name, kind in fields.items() if kind == INSTANT}
    instants = parse_columns(texts, timezone, columns.get("call_duration"))
    columns |= instants.columns
    table = pa.table([columns[name].cast(kind) for name, kind in fields.items()], names=list(fields))
    return Typed(table, extra, instants.sort_seconds, instants.unreadable | reasons)


def _read_odd(endpoint: str, text: Raw) -> tuple[Struct, str | None, str | None]:
    """A record that is not as the article says, the JSON of its unknown fields, and why it cannot be read."""
    struct, fields = STRUCTS[endpoint], FIELDS[endpoint]
    try:
        record = orjson.loads(bytes(text))
    except orjson.JSONDecodeError:
        return struct(), None, "the record is not JSON that can be read"
    if not isinstance(record, dict):
        return struct(), None, "the record is not an object"
    known = {name: _mend(kind, record[name]) for name, kind in fields.items() if name in record}
    try:
        return msgspec.convert(known, struct), _write_unknown(record, known), None
    except msgspec.ValidationError as error:
        name = str(error).rpartition("$.")[2].rstrip("`")
        start = known.get(START)
        place = {START: start} if isinstance(start, str) else {}
        return struct(**place), None, f"{name} is not {MEANT[fields[name]]}"


def _mend(kind: pa.DataType, value: Any) -> Any:
    """A value typed as its field is, if nothing is lost by that."""
    if kind == TEXT and type(value) is int:
        return str(value)
    if kind not in (NUMBER, FLAG):
        return value
    if isinstance(value, str):
        return int(value) if WHOLE.fullmatch(value) else value or None
    is_whole = isinstance(value, float) and value.is_integer()
    return int(value) if is_whole or (kind == FLAG and isinstance(value, bool)) else value


def _write_unknown(record: Mapping[str, Any], known: Mapping[str, Any]) -> str | None:
    unknown = {name: value for name, value in record.items() if name not in known}
    try:
        return orjson.dumps(unknown).decode() if unknown else None
    except orjson.JSONEncodeError:  # orjson reads 1024 levels and writes 254
        return '"nested too deep to be kept"'
