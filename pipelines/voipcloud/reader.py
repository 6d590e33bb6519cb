"""Reads the missing days of one list from the PBX, newest first: pages in, whole days out.

A range of days keeps its cursor from one package to the next, so only an interruption reads a page twice. Rows of a day
that is not whole yet wait in memory for the next package; without them the cursor goes back to where that day begins.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pyarrow as pa

from pipelines.errors import CallsError, SettingsError, UnexpectedPayload
from pipelines.voipcloud import records
from pipelines.voipcloud.client import MAX_LIMIT
from pipelines.voipcloud.coverage import (
    BEGINNING,
    DAY,
    Coverage,
    DateRange,
    DayRead,
    days_within,
    is_shrunk,
    missing_ranges,
    with_days,
)
from pipelines.voipcloud.list_state import ListState, Plan, RangeState
from pipelines.voipcloud.package import Package
from pipelines.voipcloud.paging import Cursor, next_step
from pipelines.voipcloud.records import Page
from pipelines.voipcloud.run import PageRead, Run
from pipelines.voipcloud.schemas import SCHEMAS

# A plan older than this is dropped: the newest calls come first again, and what is settled by now is not read twice.
PLAN_LASTS = timedelta(hours=6)
# A read that an earlier source began longer ago than this is followed by another, for the calls that came since.
FRESH_FOR = timedelta(minutes=15)


@dataclass
class _Range:
    """A range of days while it is read: days from `bottom` on are in a package, `held` are rows of older days."""

    days: DateRange
    cursor: Cursor | None  # None: read to its end
    bottom: date
    held: list[Page] = field(default_factory=list)
    noted: list[tuple[date, str]] = field(default_factory=list)  # records without a start: the day below, their hash

    def to_state(self) -> RangeState:
        """With the cursor where the rows of `held` begin, because they are not kept with it."""
        cursor = self.cursor or Cursor(MAX_LIMIT)
        held = sum(len(page.seconds) for page in self.held)
        if held and self.bottom < date.max:
            cursor = Cursor(cursor.limit, max(0, cursor.offset - held), _midnight(self.bottom))
        elif held:
            cursor = Cursor(cursor.limit)
        return RangeState(self.days, cursor, self.bottom)


@dataclass(frozen=True)
class UnplacedRow:
    """A row of `raw.unplaced_records`, but for whose it is and how many copies there are."""

    record_hash: str
    first_seen_at: datetime
    last_seen_at: datetime
    record: str
    reason: str


@dataclass(frozen=True)
class Held:
    """One read of a list in memory, rows of unfinished days included.

    It continues any of the states of `load_ids`, read with `settings`. `is_own`: the read was begun by this source, and
    not by an earlier one.
    """

    load_ids: frozenset[str]
    settings: tuple[Any, ...]
    begun: datetime
    ranges: list[_Range]
    counted: Counter[str]
    unplaced: dict[str, UnplacedRow]
    is_own: bool


def continued(run: Run, endpoint: str, stored: ListState, held: Held | None) -> Held | None:
    """The read of a list that is under way, from memory or from its state, if it is recent and reads the same."""
    settings, asked = _settings(run, endpoint), run.options.asked
    if held is not None and stored.load_id in held.load_ids and held.settings == settings:
        read = held
    elif (plan := stored.plan) is not None and run.options.resumes and _continues(plan, stored, run, endpoint):
        ranges = [_Range(each.days, each.cursor, each.bottom) for each in plan.ranges]
        is_own = asked is not None
        read = Held(frozenset(), settings, plan.begun, ranges, Counter(plan.unplaced), {}, is_own)
    else:
        return None
    return read if run.now() - read.begun < PLAN_LASTS else None


class ListReader:
    """One list in one run of the source. `stored` is its state; `read` is what it goes on with, None to begin anew."""

    def __init__(self, run: Run, endpoint: str, stored: ListState, read: Held | None) -> None:
        self._run = run
        self._endpoint = endpoint
        self._stored = stored
        self._names = run.account.names.get(endpoint, "")
        self._coverage = stored.coverage.under(self._names, run.account.timezone)
        self.package = Package(run.account.name, endpoint)
        self.is_covered = False  # days have become whole
        self._has_failed = False
        self._read = read or self._begun_now()
        if self._coverage.is_empty and not stored.coverage.is_empty:
            what = "time zone" if self._names == stored.coverage.names else "names filter"
            run.warn(f"{endpoint}: the {what} has changed, so its days are read again.")

    @property
    def has_more(self) -> bool:
        """Whether days are missing after this run, or calls that came since an earlier source began to read."""
        is_old = not self._read.is_own and self._run.now() - self._read.begun > FRESH_FOR
        return not self._has_failed and (is_old or bool(self._read.ranges))

    def read_page(self) -> bool:
        """Reads one page; False if nothing is left to read, or the run has ended. Raises nothing of the PBX's."""
        if not self._read.ranges or self._has_failed or not self._run.goes_on():
            return False
        try:
            self._read_page(self._read.ranges[0])
        except (UnexpectedPayload, SettingsError) as error:  # of this list; the others may be sound
            self._has_failed = True
            self._run.end_list(self._endpoint, error)
        except CallsError as error:
            self._run.end(error)
            return False
        return True

    def next_state(self, load_id: str) -> ListState:
        """What to remember with the package `load_id`."""
        read = self._read
        ranges = tuple(each.to_state() for each in read.ranges)
        start, asked = self._run.account.start_date, self._run.options.asked
        # what lies below `bottom` is read again from there, and counted then
        again = Counter(key for each in read.ranges for day, key in each.noted if day < each.bottom)
        plan = Plan(read.begun, start, asked, ranges, dict(read.counted - again))
        first_seen = {key: row.first_seen_at for key, row in read.unplaced.items()}
        return self._stored.after_package(
            load_id, self._coverage, None if self._has_failed else plan, {**self._stored.first_seen, **first_seen}
        )

    def hold(self, load_id: str) -> Held:
        """What the next run of this source goes on from: after the package `load_id`, or, if this run made no day
        whole, also if that package is dropped."""
        known = {load_id} if self.is_covered else {load_id, self._stored.load_id}
        return replace(self._read, load_ids=frozenset(known))

    def side_tables(self) -> Iterator[tuple[str, pa.Table]]:
        """What speaks of the package's days, by the table in `raw`."""
        for table in self.package.rejected_records(self._run.now()):
            yield "rejected_records", table
        whose = {"account": self._run.account.name, "endpoint": self._endpoint}
        counted, unplaced = self._read.counted, self._read.unplaced
        rows = {
            "unplaced_records": [{**whose, **vars(row), "copies_count": counted[key]} for key, row in unplaced.items()],
            "loaded_days": self.package.loaded_days,
            "lists": [{**whose, "whole_read_at": self._read.begun}] if self.is_covered and self.is_at_end else [],
        }
        for name, listed in rows.items():
            if listed:
                yield name, pa.Table.from_pylist(listed, schema=SCHEMAS[name])

    @property
    def is_at_end(self) -> bool:
        """Whether the list has been read to its end."""
        return not self._read.ranges and not self._has_failed

    @property
    def unplaced(self) -> int:
        """How many records without a start this read of the list has seen, so far."""
        return self._read.counted.total()

    def _begun_now(self) -> Held:
        now, asked = self._run.now(), self._run.options.asked
        ranges = [asked] if asked else missing_ranges(self._coverage, self._run.account.start_date, now, MAX_LIMIT)
        begun = [_Range(each, Cursor(MAX_LIMIT), each.end or date.max) for each in ranges]
        return Held(frozenset(), _settings(self._run, self._endpoint), now, begun, Counter(), {}, is_own=True)

    def _read_page(self, reading: _Range) -> None:
        cursor = reading.cursor or Cursor(MAX_LIMIT)
        wire = self._run.client.fetch_calls(
            self._endpoint,
            from_date=reading.days.from_date,
            to_date=reading.days.to_date,
            names=self._names,
            limit=cursor.limit,
            offset=cursor.offset,
        )
        now = self._run.now()
        account = self._run.account
        page = records.parse_page(self._endpoint, wire, account=account.name, timezone=account.timezone, loaded_at=now)
        step = next_step(cursor, page.sort_seconds)
        reading.cursor = step.cursor
        # a page in which no row has a start is the end of the list, or it is asked for again from further up
        is_end = not page.seconds and step.cursor is None
        taken = range(len(wire)) if is_end else range(step.start, step.stop)
        self._note_unplaced(reading, cursor, page, taken, now)
        if step.stop > step.start:
            reading.held.append(page.slice(step.start, step.stop))
        self._deliver(reading)
        self._run.count_page(self._progress(reading, step.stop - step.start, page))

    def _note_unplaced(self, reading: _Range, cursor: Cursor, page: Page, taken: range, now: datetime) -> None:
        """Counts each record without a start once, in the range that holds a neighbour of it."""
        number = len(page.unplaced) + len(page.rejected)
        if number and not page.rows:
            reason = page.unplaced[0].reason if page.unplaced else page.rejected[0].reason
            self._run.warn(
                f"{self._endpoint}: none of {number} records can be read: {reason}. They are in raw.rejected_records, "
                "or raw.unplaced_records if they have no start. Has the PBX moved to another version of its API?"
            )
        for bad in page.unplaced:
            if bad.row in taken and self._is_wanted(reading, cursor, page, bad.row):
                key = records.hash_record(bad.record)
                self._read.counted[key] += 1
                if page.seconds:
                    reading.noted.append((_day(page.seconds[bad.row]), key))
                first = self._stored.first_seen.get(key, now)
                self._read.unplaced.setdefault(key, UnplacedRow(key, first, now, bad.record, bad.reason))

    def _is_wanted(self, reading: _Range, cursor: Cursor, page: Page, row: int) -> bool:
        """Whether the record below a row without a start lies in the range, or else the one above, and below is none
        that is still to be read."""
        if not page.seconds:
            return True
        below = _day(page.seconds[row])  # or above, at the page's end
        if below in reading.days or any(below in other.days for other in self._read.ranges):
            return below in reading.days
        unplaced = {bad.row for bad in page.unplaced}
        above = next((page.seconds[n] for n in reversed(range(row)) if n not in unplaced), cursor.second)
        return reading.days.end is None if above is None else _day(above) in reading.days

    def _progress(self, reading: _Range, rows: int, page: Page) -> PageRead:
        today = self._run.now().date()
        end = min(reading.days.end or today + DAY, today + DAY)
        first = reading.days.first
        oldest = _day(page.seconds[-1]) if page.seconds else first
        total = None if first is None else max(1, (end - first).days)
        done = 0 if oldest is None else (end - max(oldest, first or oldest)).days
        return PageRead(self._endpoint, rows, oldest, total if reading.cursor is None and total else done, total)

    def _deliver(self, reading: _Range) -> None:
        """Puts the days that the last page completed into the package, and takes the range off when all are."""
        first = reading.days.first or BEGINNING
        if reading.cursor is None:
            whole_from = first
        elif reading.cursor.second is None:
            return
        else:
            whole_from = max(first, _day(reading.cursor.second) + DAY)
        if whole_from < reading.bottom:
            self._put_days(reading, (whole_from, reading.bottom))
            reading.bottom = whole_from
            reading.noted = [each for each in reading.noted if each[0] < whole_from]
        if reading.bottom <= first:
            self._read.ranges.remove(reading)

    def _put_days(self, reading: _Range, span: tuple[date, date]) -> None:
        days, reading.held = _split(reading.held, span[0])
        days = {day: pages for day, pages in days.items() if span[0] <= day < span[1]}
        before, now, allow_shrink = self._coverage, self._run.now(), self._run.options.allow_shrink
        stored = {day for known in (before.counts, before.other_names) for day in days_within(known, *span)}
        offered = {day: _day_read(days.get(day, [])) for day in stored | days.keys()}
        shrunk = {day: read.records for day, read in offered.items() if is_shrunk(before, day, read)}
        kept = {} if allow_shrink else shrunk
        read = {day: each for day, each in offered.items() if day not in kept}
        rejected = len(self.package.rejected)
        for day in sorted(read):
            self.package.put_day(day, days.get(day, []), before, now)
        for day, number in sorted(kept.items()):
            self._run.warn(
                f"{self._endpoint}: the PBX offers {number} records of {day}, fewer than are stored, so the day was "
                f"left as it is. If that is right: calls load --from {day} --to {day} --allow-shrink."
            )
        self._coverage = self._covered(read, kept, span, days)
        number = self.package.put_loaded_days(stored | days.keys(), span, self._coverage, now)
        self.is_covered = True
        self._run.count_days(self._endpoint, number, len(self.package.rejected) - rejected)

    def _covered(
        self,
        read: Mapping[date, DayRead],
        kept: Mapping[date, int],
        span: tuple[date, date],
        days: Mapping[date, list[Page]],
    ) -> Coverage:
        called = (page for pages in days.values() for page in pages if page.table.num_rows)
        newest = max((page.seconds[0] for page in called), default=None)
        at = None if newest is None else datetime.fromtimestamp(newest, UTC).isoformat()
        after = with_days(self._coverage, read, kept, span, self._read.begun, self._run.account.rules)
        return replace(after, newest_at=max(filter(None, (self._coverage.newest_at, at)), default=None))


def _settings(run: Run, endpoint: str) -> tuple[Any, ...]:
    account = run.account
    return account.names.get(endpoint, ""), account.timezone, account.start_date, run.options.asked


def _continues(plan: Plan, stored: ListState, run: Run, endpoint: str) -> bool:
    """Whether the plan asks for the same days, with the names filter and time zone of the account."""
    names, timezone = run.account.names.get(endpoint, ""), run.account.timezone
    is_asked = (plan.start, plan.asked) == (run.account.start_date, run.options.asked)
    return is_asked and stored.coverage.under(names, timezone) == stored.coverage


def _midnight(day: date) -> int:
    return int(datetime.combine(day, time(), UTC).timestamp())


def _day(second: int) -> date:
    return datetime.fromtimestamp(second, UTC).date()


def _split(pages: list[Page], whole_from: date) -> tuple[dict[date, list[Page]], list[Page]]:
    """The pages' rows by UTC date, and what is older than `whole_from` and so has to wait for more."""
    by_day: dict[date, list[Page]] = {}
    waiting: list[Page] = []
    for page in pages:
        for day, part in records.split_days(page):
            if day >= whole_from:
                by_day.setdefault(day, []).append(part)
            else:
                waiting.append(part)
    return by_day, waiting


def _day_read(pages: list[Page]) -> DayRead:
    return DayRead(
        records=sum(page.table.num_rows + len(page.rejected) for page in pages),
        rejected=sum(len(page.rejected) for page in pages),
        unfinished=sum(page.table["call_finished_at"].null_count for page in pages),
    )
