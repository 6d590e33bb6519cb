"""Wire records → typed Arrow tables, and what cannot be read → rejected records with a reason.

A page is read as a whole, by Arrow; one that holds anything unusual is read again a record at a time, to the same
rules. Known fields get types; lossless mis-typings (`"35"`, `35.0`, a number for a phone number) are taken; unknown
fields are kept as JSON in `extra`. Nothing is dropped: a record is in the table or among the rejected.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Raw

from pipelines.errors import UnexpectedPayload
from pipelines.voipcloud.paging import out_of_place
from pipelines.voipcloud.records import timestamps as instants
from pipelines.voipcloud.records.columns import parse_one_by_one, parse_together
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
LONGEST_SECONDS = 2**31 - 1  # as far as SQL's intervals go; -1 without its sign is beyond


@dataclass(frozen=True)
class Rejected:
    """A record that cannot be read: where it stood in the list, its JSON, why, and whether it tells its start."""

    row: int
    record: str
    reason: str
    has_start: bool


@dataclass(frozen=True)
class Page:
    """One page: `seconds` (Unix, newest first) for each wire row; `table` of the readable ones, numbered in `rows`.

    A record without a readable start has the second of a neighbour, and so stands in that one's day.
    `sort_seconds` is what tells a place in the list: as `seconds`, but an hour that comes twice in local time counts as
    one second, because its order tells the two apart only where it is seen whole.
    """

    seconds: Sequence[int]
    sort_seconds: Sequence[int]
    table: pa.Table
    rows: Sequence[int]
    rejected: Sequence[Rejected]

    def slice(self, start: int, stop: int) -> "Page":
        """The wire rows `start` to before `stop`."""
        low, high = bisect_left(self.rows, start), bisect_left(self.rows, stop)
        return Page(
            self.seconds[start:stop],
            self.sort_seconds[start:stop],
            self.table.slice(low, high - low),
            _lowered(self.rows[low:high], start),
            [replace(bad, row=bad.row - start) for bad in self.rejected if start <= bad.row < stop],
        )


def _lowered(rows: Sequence[int], by: int) -> Sequence[int]:
    return range(rows.start - by, rows.stop - by) if isinstance(rows, range) else [row - by for row in rows]


def parse_page(
    endpoint: str,
    records: Sequence[Raw],
    *,
    account: str,
    timezone: str,
    loaded_at: datetime,
    first: int | None = None,
    standing: Mapping[str, int],
    otherwise: int,
) -> Page:
    """Types one page of wire records, JSON texts, newest first; `first` (Unix seconds) is where what is wanted begins.

    Naive instants are read in `timezone`; in the autumn hour that comes twice, as the order of the list says. Records
    that tell no start and have no neighbour that is wanted count as of the second `otherwise`, but for as many as are
    `standing` in the day below already, by ISO date.
    Raises `UnexpectedPayload` where the list is not newest first, or where of `ALL_REJECTED_MIN` none can be read.
    """
    try:
        typed = parse_together(FIELDS[endpoint], records, timezone)
    except (pa.ArrowException, ValueError):
        typed = parse_one_by_one(FIELDS[endpoint], records, timezone)
    reasons = typed.reasons
    for row, reason in _check(endpoint, typed.table):
        reasons.setdefault(row, reason)
    at = pc.divide(typed.table[instants.START].cast(NUMBER), 1_000_000)
    soon = int((loaded_at + AHEAD).timestamp())
    told = pc.indices_nonzero(pc.is_valid(at)).to_numpy().tolist()
    starts = dict(zip(told, at.drop_null().to_numpy().tolist(), strict=True))
    if starts and max(starts.values()) > soon:
        for row in [row for row, second in starts.items() if second > soon]:
            reasons.setdefault(row, "call_start_at is in the future")
            del starts[row]
    for row in out_of_place(starts):
        reasons.setdefault(row, "call_start_at is not in the list's order, newest first")
        del starts[row]
    if len(reasons) == len(records) >= ALL_REJECTED_MIN:
        raise UnexpectedPayload(
            f"None of the {len(records)} records of {endpoint} can be read: {next(iter(reasons.values()))}. "
            "Nothing was loaded from them. Has the PBX moved to another version of its API?"
        )
    table, extra = typed.table, typed.extra
    rows: Sequence[int] = range(len(records))
    if reasons:
        rows = [row for row in rows if row not in reasons]
        table, extra = table.take(pa.array(rows, NUMBER)), extra.take(pa.array(rows, NUMBER))
    missing = _Missing(first, standing, otherwise)
    seconds = missing.fill(starts, len(records))
    twice = {row: second for row, second in typed.twice.items() if row in starts}
    places = missing.fill(starts | twice, len(records))
    return Page(
        seconds=seconds,
        sort_seconds=places,
        table=_stamped(endpoint, table, extra, account, loaded_at),
        rows=rows,
        rejected=[
            Rejected(row, bytes(records[row]).decode(), reason, row in starts)
            for row, reason in sorted(reasons.items())
        ],
    )


def split_days(page: Page) -> Iterator[tuple[date, Page]]:
    """The page's wire rows by UTC date, newest first."""
    start = 0
    while start < len(page.seconds):
        day = page.seconds[start] // DAY_SECONDS
        stop = bisect_right(page.seconds, -day * DAY_SECONDS, lo=start, key=lambda second: -second)
        yield _date(day), page.slice(start, stop)
        start = stop


def rejected_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows for `raw.rejected_records`."""
    return pa.Table.from_pylist(list(rows), schema=SCHEMAS["rejected_records"])


def _check(endpoint: str, typed: pa.Table) -> list[tuple[int, str]]:
    """Rows, numbered within the table, that are typed well and yet cannot be right."""
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
        if kind == NUMBER:
            note(pc.less(typed[name], 0), f"{name} is negative")
            note(pc.greater(typed[name], LONGEST_SECONDS), f"{name} is longer than any call")
        elif kind == TEXT:
            note(pc.match_substring(typed[name], "\0"), f"{name} holds a NUL character, which Postgres cannot store")
    return found


@dataclass(frozen=True)
class _Missing:
    """Where records belong that tell no start; see `parse_page`."""

    first: int | None
    standing: Mapping[str, int]
    otherwise: int

    def fill(self, starts: dict[int, int], size: int) -> list[int]:
        """A second for every wire row: one that tells none has that of the row below, or where the row below is older
        than `first` or is none, that of the row above, and where that is none too, `otherwise`: it must not be left
        to a day that nobody reads.

        Below, because a call that arrives above must not move it to another day, and because it then belongs to what
        is read again where a page's edge cuts it off from the row below.
        """
        if len(starts) == size:
            return list(starts.values())
        above, below = None, None
        lifted = [above := starts.get(row, above) for row in range(size)]
        seconds, found = [], Counter[int]()
        for row in reversed(range(size)):
            below = starts.get(row, below)
            is_wanted = below is not None and (self.first is None or below >= self.first or row in starts)
            if below is not None and row not in starts:
                day = below // DAY_SECONDS
                found[day] += 1
                is_wanted = is_wanted or found[day] <= self.standing.get(_date(day).isoformat(), 0)
            second = below if is_wanted else lifted[row]
            seconds.append(self.otherwise if second is None else second)
        return seconds[::-1]


def _date(day: int) -> date:
    return date.fromordinal(EPOCH_ORDINAL + day)


def _stamped(endpoint: str, typed: pa.Table, extra: pa.Array, account: str, loaded_at: datetime) -> pa.Table:
    size = typed.num_rows
    # not floor_temporal, which needs a time-zone database on disk even for UTC
    days = pc.divide(typed["call_start_at"].cast(NUMBER), DAY_SECONDS * 1_000_000).cast(pa.int32()).cast(DATE)
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
