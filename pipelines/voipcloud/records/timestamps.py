"""ISO 8601 texts → UTC instants, whatever their style: with an offset, `Z`, or naive in the account's time zone.

Naive texts are placed by a table of the zone's offsets. In the autumn hour that comes twice a text has two readings,
and a record gets those that agree: answered after the start, ended after that, as long as its duration, and in the
order of the list, newest first.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from itertools import product

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.time_zones import read_zone
from pipelines.voipcloud.schemas import INSTANT, NUMBER

NAIVE = pa.timestamp("us")
START = "call_start_at"
# Outside these years a date is a placeholder: 0001, 1970 or 9999 for none.
FIRST, END = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (2000, 2200))
STEP = 4 * 86_400  # no zone changes its clocks twice in so many seconds
MICROS = 1_000_000
Numbers = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Instants:
    """Instants by column; `sort_seconds`: each start in Unix seconds, in the order that the list is in.

    An hour that comes twice counts as one second of it, the one at which the clocks are set back: the order of its
    calls shows which pass each belongs to only if a page holds them all. `unreadable`: row → why a text is no instant.
    """

    columns: dict[str, pa.Array]
    sort_seconds: Numbers
    unreadable: dict[int, str]


@dataclass(frozen=True)
class _Readings:
    """A column's earlier and later readings in microseconds; anything where `is_read` is false."""

    early: Numbers
    late: Numbers
    is_read: Flags


def parse_columns(texts: Mapping[str, pa.Array], timezone: str, durations: pa.Array | None = None) -> Instants:
    """The instants of columns of texts: start, answer and end, in this order; `durations` in seconds."""
    unreadable: dict[int, str] = {}
    readings: dict[str, _Readings] = {}
    for name, column in texts.items():
        written = pc.if_else(pc.equal(column, ""), None, column)
        readings[name] = read = _read_column(written, timezone)
        for row in np.flatnonzero(written.is_valid().to_numpy(zero_copy_only=False) & ~read.is_read).tolist():
            unreadable.setdefault(row, f"{name} is not an ISO 8601 date and time in {timezone}")
    chosen = _choose(list(readings.values()), durations)
    columns = {
        name: pa.array(micros, NUMBER, mask=~read.is_read).cast(INSTANT)
        for (name, read), micros in zip(readings.items(), chosen, strict=True)
    }
    places = dict(zip(readings, chosen, strict=True))[START] // MICROS
    return Instants(columns, _sort_seconds(places, readings[START], timezone), unreadable)


def _read_column(texts: pa.Array, timezone: str) -> _Readings:
    written, is_naive = _parse_texts(texts)
    micros = written.fill_null(0).to_numpy()
    is_read = (micros >= FIRST * MICROS) & (micros < END * MICROS)  # a null is not
    if not is_naive.any():
        return _Readings(micros, micros, is_read)
    changes, offsets = offset_changes(timezone)
    seconds = micros // MICROS
    before = np.searchsorted(changes[1:] + offsets[:-1], seconds, side="right")  # the first offset not over by then
    after = np.searchsorted(changes + offsets, seconds, side="right") - 1  # the last offset begun by then
    early, late = (np.where(is_naive, micros - offsets[each] * MICROS, micros) for each in (before, after))
    return _Readings(early, late, is_read & ~(is_naive & (before > after)))  # none in the spring hour that never was


def _parse_texts(texts: pa.Array) -> tuple[pa.Array, Flags]:
    """Microseconds as they are written, null for what is no instant, and which have no offset."""
    first = (texts.drop_null().slice(0, 1).to_pylist() or [""])[0]
    is_aware = first.endswith("Z") or "+" in first or first.count("-") > 2
    shortest = pc.min(pc.binary_length(texts)).as_py()
    if shortest is None or shortest > len("2026-10-09"):  # a date alone is no instant
        try:
            instants = texts.cast(INSTANT if is_aware else NAIVE).cast(NUMBER)
            return instants, np.full(len(texts), not is_aware)
        except pa.ArrowInvalid:
            pass
    each = [_parse_text(text) for text in texts.to_pylist()]
    is_naive = np.array([at is not None and at.tzinfo is None for at in each], np.bool_)
    instants = pa.array([at and (at if at.tzinfo else at.replace(tzinfo=UTC)) for at in each], INSTANT)
    return instants.cast(NUMBER), is_naive


def _parse_text(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if text is not None and text[10:11] in ("T", " ") else None
    except ValueError:
        return None


@cache
def offset_changes(timezone: str) -> tuple[Numbers, Numbers]:
    """When a zone's offset from UTC changes, in Unix seconds, and what it is from then on, in seconds."""
    zone = read_zone(timezone)

    def offset(second: int) -> int:
        ahead = datetime.fromtimestamp(second, zone).utcoffset() or timedelta()
        return ahead // timedelta(seconds=1)

    changes, offsets = [FIRST - STEP], [offset(FIRST - STEP)]
    for start in range(FIRST - STEP, END + STEP, STEP):
        if (after := offset(start + STEP)) != offsets[-1]:
            within = range(start, start + STEP)
            changes.append(start + bisect_left(within, True, key=lambda second: offset(second) == after))
            offsets.append(after)
    return np.array(changes), np.array(offsets)


def _choose(columns: Sequence[_Readings], durations: pa.Array | None) -> list[Numbers]:
    """Of each record's readings those that agree best, and that leave the list newest first; the start comes first."""
    chosen = [read.early.copy() for read in columns]
    is_twice = [read.is_read & (read.early != read.late) for read in columns]
    above = END * MICROS
    for row in np.flatnonzero(np.any(is_twice, axis=0)).tolist():
        there = [column for column, read in enumerate(columns) if read.is_read[row]]
        readings = product(*((int(columns[column].early[row]), int(columns[column].late[row])) for column in there))
        duration = None if durations is None else durations[row].as_py()
        best = min(readings, key=partial(_misfit, duration, above))
        above = best[0] if there[0] == 0 else above  # a record without a start says nothing of the order
        for column, at in zip(there, best, strict=True):
            chosen[column][row] = at
    return chosen


def _misfit(duration: int | None, above: int, instants: Sequence[int]) -> tuple[bool, int, bool, int, Sequence[int]]:
    """What is wrong with a record's instants, worst first: they turn round, the call is of another length, it is newer
    than the one above it, it is older than it need be, it is longer than it need be."""
    start, *rest = instants
    length = 0 if duration is None else abs(instants[-1] - start - duration * MICROS)
    return list(instants) != sorted(instants), length, start > above, -start, rest


def _sort_seconds(seconds: Numbers, starts: _Readings, timezone: str) -> Numbers:
    is_twice = starts.is_read & (starts.early != starts.late)
    if not is_twice.any():
        return seconds
    changes, offsets = offset_changes(timezone)
    for change in np.unique(np.searchsorted(changes, starts.late[is_twice] // MICROS, side="right") - 1).tolist():
        set_back, by = changes[change], offsets[change - 1] - offsets[change]
        seconds = np.where((set_back - by <= seconds) & (seconds < set_back + by), set_back, seconds)
    return seconds
