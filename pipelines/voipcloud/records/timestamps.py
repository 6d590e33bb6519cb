"""ISO 8601 texts → UTC instants, whatever their style: with an offset, `Z`, or naive in the account's time zone.

The autumn hour that comes twice is told apart by what the records say: the list is newest first, a call is answered
after it starts and ends after that, and lasts as long as its duration.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

INSTANT, NAIVE = pa.timestamp("us", "UTC"), pa.timestamp("us")
START = "call_start_at"
# Outside these years a date is a placeholder: 0001, 1970 or 9999 where there was none.
FIRST, END = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
Texts = Sequence[str | None]
Readings = tuple[datetime | None, datetime | None]


@dataclass(frozen=True)
class Instants:
    """Instants by column; `twice`: rows that start in an hour that came twice → when clocks were set back (Unix)."""

    columns: dict[str, pa.Array]
    twice: Mapping[int, int]


def parse_columns(texts: Mapping[str, pa.Array], timezone: str, durations: pa.Array | None) -> Instants:
    """Columns of texts, all of one style, in the order of the list: `call_start_at` first.

    Raises `ValueError` (`pyarrow.ArrowInvalid` is one) for a column of mixed styles or with a text that is no instant.
    """
    parsed = {name: _parse_column(column) for name, column in texts.items()}
    early = {name: _in_zone(column, timezone, "earliest") for name, column in parsed.items()}
    late = {name: _in_zone(column, timezone, "latest") for name, column in parsed.items()}
    return _placed(early, late, timezone, durations)


def parse_each(
    texts: Mapping[str, Texts], timezone: str, durations: pa.Array | None
) -> tuple[Instants, dict[int, str]]:
    """The same a text at a time, and the reason for each row that has one which cannot be read."""
    zone = ZoneInfo(timezone)
    unreadable: dict[int, str] = {}
    early: dict[str, pa.Array] = {}
    late: dict[str, pa.Array] = {}
    for name, column in texts.items():
        moments: list[Readings] = []
        for row, text in enumerate(column):
            try:
                moments.append((None, None) if text is None else _parse_text(text, zone))
            except (ValueError, OverflowError):
                unreadable.setdefault(row, f"{name} is not an ISO 8601 date and time in {timezone}")
                moments.append((None, None))
        early[name] = pa.array([first for first, _ in moments], INSTANT)
        late[name] = pa.array([second for _, second in moments], INSTANT)
    return _placed(early, late, timezone, durations), unreadable


def _parse_column(texts: pa.Array) -> pa.Array:
    there = texts.drop_null()
    sample = there[0].as_py() if len(there) else ""
    aware = sample.endswith("Z") or "+" in sample or sample.count("-") > 2
    instants = texts.cast(INSTANT if aware else NAIVE)
    outermost = pc.min_max(instants.cast(pa.int64())).as_py()
    if outermost["min"] is not None and not (
        FIRST.timestamp() * 1e6 <= outermost["min"]
        and outermost["max"] < END.timestamp() * 1e6
        and pc.min(pc.binary_length(texts)).as_py() > len("2026-10-09")  # a date alone is no instant
    ):
        raise ValueError
    return instants


def _parse_text(text: str, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The earlier and the later reading of a text; raises `ValueError` or `OverflowError`."""
    if text[10:11] not in ("T", " "):  # a date alone is no instant
        raise ValueError
    moment = datetime.fromisoformat(text)
    if not FIRST <= (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) < END:
        raise ValueError
    if moment.tzinfo is not None:
        return moment.astimezone(UTC), moment.astimezone(UTC)
    first, second = (moment.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first > second:  # in the spring hour that never was
        raise ValueError
    return first, second


def _in_zone(column: pa.Array, timezone: str, which: str) -> pa.Array:
    if column.type == INSTANT:
        return column
    return pc.assume_timezone(column, timezone, ambiguous=which, nonexistent="raise").cast(INSTANT)


def _placed(
    early: Mapping[str, pa.Array], late: Mapping[str, pa.Array], timezone: str, durations: pa.Array | None
) -> Instants:
    """Of each instant's two readings, the one that the other instants speak for."""
    if all(early[name].equals(late[name]) for name in early):
        return Instants(dict(early), {})
    readings = {name: list(zip(early[name].to_pylist(), late[name].to_pylist(), strict=True)) for name in early}
    floor = _descending(readings[START])
    placed = {START: pa.array(floor, INSTANT)}
    seconds = durations.to_pylist() if durations is not None else [None] * len(floor)
    for name in [name for name in early if name != START]:
        ends = [_after(*each) for each in zip(floor, readings[name], seconds, strict=True)]
        placed[name] = pa.array(ends, INSTANT)
        floor = [start if end is None else end for start, end in zip(floor, ends, strict=True)]
    zone = ZoneInfo(timezone)
    twice = {row: _set_back(a, b, zone) for row, (a, b) in enumerate(readings[START]) if a and b and a != b}
    return Instants(placed, twice)


def _descending(readings: Sequence[Readings]) -> list[datetime | None]:
    """Of each row's two readings, the later that is not newer than the row above."""
    above = datetime.max.replace(tzinfo=UTC)
    chosen: list[datetime | None] = []
    for first, second in readings:
        if first is None or second is None:
            chosen.append(None)
            continue
        # newer than the row above in both readings: that row was out of its place, and says nothing
        above = second if second <= above or first > above else first
        chosen.append(above)
    return chosen


def _after(floor: datetime | None, readings: Readings, seconds: int | None) -> datetime | None:
    """Of an end's two readings, the one the duration points to, or the earlier that is not before `floor`."""
    first, second = readings
    if first is None or second is None or floor is None:
        return first
    if first < floor:
        return second
    if seconds is None:
        return first
    return min(first, second, key=lambda end: abs((end - floor).total_seconds() - seconds))


def _set_back(first: datetime, second: datetime, zone: ZoneInfo) -> int:
    """When, between a text's two readings, the clocks were set back."""
    low, high = int(first.timestamp()), int(second.timestamp())
    after = second.astimezone(zone).utcoffset()
    return low + bisect_left(
        range(low, high), True, key=lambda at: datetime.fromtimestamp(at, zone).utcoffset() == after
    )
