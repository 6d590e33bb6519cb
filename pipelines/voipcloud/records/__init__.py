"""Wire records → typed Arrow tables, and what cannot be read, with a reason.

Known fields get types; lossless mis-typings (`"35"`, `35.0`, a number for a phone number) are taken; unknown fields are
kept as JSON in `extra`. Nothing is dropped: a record is in the table, among the rejected of its day, or, where nothing
says when it starts, among the unplaced, which belong to no day.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Raw

from pipelines.errors import UnexpectedPayload
from pipelines.voipcloud.paging import out_of_place
from pipelines.voipcloud.records.columns import parse_records
from pipelines.voipcloud.records.timestamps import MICROS, START, Flags, Numbers
from pipelines.voipcloud.schemas import DATE, FIELDS, INSTANT, NUMBER, REQUIRED, SCHEMAS, TEXT

# Each pair in its order in time; a record that turns it round would give a negative wait.
IN_ORDER = (
    ("call_start_at", "call_answered_at"),
    ("call_start_at", "call_finished_at"),
    ("call_answered_at", "call_finished_at"),
)
DAY_SECONDS = 86_400
EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
# As many records and none readable is another API, not a few bad records.
ALL_REJECTED_MIN = 10
AHEAD = timedelta(days=2)  # a start further in the future is a mistake, whatever the clocks and the zone


@dataclass(frozen=True)
class Unreadable:
    """A record that cannot be read: the wire row it stood in, its JSON, and why."""

    row: int
    record: str
    reason: str


@dataclass(frozen=True)
class Page:
    """One page: `table` holds the readable records, those of the wire rows `rows`.

    `seconds`: one start second (Unix) per wire row. A row without a start borrows it from the row below, or from the
    row above if none is below; if no row has a start there are none. `sort_seconds`: the same for paging, newest
    first without exception: an hour that comes twice in local time counts as one second, so that its calls are taken
    from a page that holds them all.
    `rejected` records have a start, and belong to its day. `unplaced` ones have none that can be believed: it is
    missing, no instant, in the future, or not in the list's order.
    """

    seconds: Sequence[int]
    sort_seconds: Sequence[int]
    table: pa.Table
    rows: Sequence[int]
    rejected: Sequence[Unreadable]
    unplaced: Sequence[Unreadable]

    def slice(self, start: int, stop: int) -> "Page":
        """The wire rows `start` to before `stop`, numbered from 0."""
        low, high = bisect_left(self.rows, start), bisect_left(self.rows, stop)
        return Page(
            self.seconds[start:stop],
            self.sort_seconds[start:stop],
            self.table.slice(low, high - low),
            _lowered(self.rows[low:high], start),
            _within(self.rejected, start, stop),
            _within(self.unplaced, start, stop),
        )


def _lowered(rows: Sequence[int], by: int) -> Sequence[int]:
    return range(rows.start - by, rows.stop - by) if isinstance(rows, range) else [row - by for row in rows]


def _within(found: Sequence[Unreadable], start: int, stop: int) -> list[Unreadable]:
    return [replace(bad, row=bad.row - start) for bad in found if start <= bad.row < stop]


def parse_page(endpoint: str, records: Sequence[Raw], *, account: str, timezone: str, loaded_at: datetime) -> Page:
    """Types one page of wire records, JSON texts, newest first; naive instants are read in `timezone`.

    Raises `UnexpectedPayload` if the list is not newest first, or if none of `ALL_REJECTED_MIN` or more can be read.
    """
    typed = parse_records(endpoint, records, timezone)
    reasons = typed.reasons
    for row, reason in _check(endpoint, typed.table):
        reasons.setdefault(row, reason)
    starts = typed.table[START].cast(NUMBER).combine_chunks()
    is_placed = starts.is_valid().to_numpy(zero_copy_only=False)
    for row, reason in _misplaced(typed.sort_seconds, is_placed, loaded_at):
        reasons.setdefault(row, reason)
        is_placed[row] = False
    if len(reasons) == len(records) >= ALL_REJECTED_MIN:
        raise UnexpectedPayload(
            f"None of the {len(records)} records of {endpoint} can be read: {next(iter(reasons.values()))}. "
            "Nothing was loaded from them. Has the PBX moved to another version of its API?"
        )
    table = typed.table
    rows: Sequence[int] = range(len(records))
    if reasons:
        rows = [row for row in rows if row not in reasons]
        table = table.take(pa.array(rows, NUMBER))
    extra = pa.array([typed.extra.get(row) for row in rows], TEXT) if typed.extra else pa.nulls(len(rows), TEXT)
    unreadable = [Unreadable(row, bytes(records[row]).decode(), reason) for row, reason in sorted(reasons.items())]
    seconds = starts.fill_null(0).to_numpy() // MICROS
    is_in_order = np.array_equal(seconds, typed.sort_seconds)
    filled = _fill(seconds, is_placed)
    return Page(
        seconds=filled,
        sort_seconds=filled if is_in_order else _fill(typed.sort_seconds, is_placed),
        table=_stamped(endpoint, table, extra, account, loaded_at),
        rows=rows,
        rejected=[bad for bad in unreadable if is_placed[bad.row]],
        unplaced=[bad for bad in unreadable if not is_placed[bad.row]],
    )


def split_days(page: Page) -> Iterator[tuple[date, Page]]:
    """The page's wire rows by UTC date, in the list's order.

    Newest first, and each date once: unless midnight lies in an hour that comes twice, where two may take turns.
    """
    days = np.array(page.seconds, np.int64) // DAY_SECONDS
    edges = np.flatnonzero(np.diff(days, prepend=-1)).tolist()
    for start, stop in pairwise([*edges, len(days)]):
        yield date.fromordinal(EPOCH_ORDINAL + int(days[start])), page.slice(start, stop)


def hash_record(record: str) -> str:
    """SHA-256 (hex) of a record's JSON with sorted keys, or of its text where that is no JSON."""
    try:
        text = orjson.dumps(orjson.loads(record), option=orjson.OPT_SORT_KEYS)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        text = record.encode()
    return hashlib.sha256(text).hexdigest()


def _check(endpoint: str, typed: pa.Table) -> list[tuple[int, str]]:
    """Rows that are typed well and yet cannot be right, and why."""
    found: list[tuple[int, str]] = []

    def note(mask: Any, reason: str) -> None:
        found.extend((row, reason) for row in pc.indices_nonzero(pc.fill_null(mask, False)).to_pylist())

    for name in REQUIRED[endpoint]:
        if typed[name].null_count:
            note(pc.is_null(typed[name]), f"{name} is missing")
    for earlier, later in IN_ORDER:
        if earlier in FIELDS[endpoint] and later in FIELDS[endpoint]:
            note(pc.less(typed[later], typed[earlier]), f"{later} is before {earlier}")
    for name, kind in FIELDS[endpoint].items():
        if kind == TEXT:
            note(pc.match_substring(typed[name], "\0"), f"{name} holds a NUL character, which Postgres cannot store")
    return found


def _misplaced(sort_seconds: Numbers, is_placed: Flags, loaded_at: datetime) -> Iterator[tuple[int, str]]:
    """Rows whose start cannot be believed, and why.

    Such a record must not stand in the day that its start names, which nobody reads or which is settled long since,
    nor in a neighbour's, which depends on how the list is cut into pages.
    """
    rows = np.flatnonzero(is_placed)
    is_ahead = sort_seconds[rows] > int((loaded_at + AHEAD).timestamp())
    for row in rows[is_ahead].tolist():
        yield row, "call_start_at is in the future"
    rows = rows[~is_ahead]
    if (np.diff(sort_seconds[rows]) > 0).any():
        for row in out_of_place(dict(zip(rows.tolist(), sort_seconds[rows].tolist(), strict=True))):
            yield row, "call_start_at is not in the list's order, newest first"


def _fill(seconds: Numbers, is_placed: Flags) -> list[int]:
    if not is_placed.any():
        return []
    filled = pc.fill_null_forward(pc.fill_null_backward(pa.array(seconds, NUMBER, mask=~is_placed)))
    found: list[int] = filled.to_numpy().tolist()
    return found


def _stamped(endpoint: str, typed: pa.Table, extra: pa.Array, account: str, loaded_at: datetime) -> pa.Table:
    size = typed.num_rows
    # not floor_temporal, which needs a time-zone database on disk even for UTC
    days = pc.divide(typed[START].cast(NUMBER), DAY_SECONDS * MICROS).cast(pa.int32()).cast(DATE)
    return pa.table(
        [
            pa.repeat(pa.scalar(account, TEXT), size),
            days,
            pa.repeat(pa.scalar(loaded_at, INSTANT), size),
            *typed.columns,
            extra,
        ],
        schema=SCHEMAS[endpoint],
    )
