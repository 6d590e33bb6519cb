"""Reads one account's missing days from the PBX, newest first, into packages of whole days.

A reader keeps its place in each list from one package to the next, so only an interruption reads a page twice. The
endpoints take turns, a page each: when the budget ends early, all three are loaded equally far back.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time
from types import TracebackType
from typing import Self

from msgspec import Raw

from pipelines.errors import CallsError, SettingsError, UnexpectedPayload
from pipelines.voipcloud import records
from pipelines.voipcloud.ahead import PageAhead
from pipelines.voipcloud.client import MAX_LIMIT, Client
from pipelines.voipcloud.coverage import (
    BEGINNING,
    DAY,
    Coverage,
    DateRange,
    DayRead,
    Rules,
    days_within,
    is_shrunk,
    missing_ranges,
    with_days,
)
from pipelines.voipcloud.packages import Package
from pipelines.voipcloud.paging import Cursor, next_step
from pipelines.voipcloud.records import Page
from pipelines.voipcloud.schemas import ENDPOINTS

Clock = Callable[[], float]
Signal = Callable[[], CallsError | None]  # a reason to end cleanly, if there is one


def no_stop() -> CallsError | None:
    """No reason to end."""
    return None


@dataclass(frozen=True)
class Order:
    """What to read of an account: by default what is missing of every endpoint."""

    account: str
    timezone: str
    names: Mapping[str, str]
    start: date | None = None
    endpoints: tuple[str, ...] = ENDPOINTS
    again: DateRange | None = None  # days to read whether settled or not
    allow_shrink: bool = False
    package_pages: int = 25
    rules: Rules = field(default_factory=Rules)


@dataclass(frozen=True)
class Progress:
    """One page was read: what it held, how far back it reached, and the days done of all (None: nobody knows)."""

    endpoint: str
    rows: int
    day: date | None
    days_done: int
    days_total: int | None


@dataclass
class _List:
    """One stretch of one endpoint while it is read. Days from `bottom` on are delivered."""

    stretch: DateRange
    place: Cursor | None
    bottom: date
    held: list[Page] = field(default_factory=list)


class AccountReader:
    """Reads an account package by package; `coverage` is by endpoint, as it stands in the warehouse."""

    def __init__(
        self,
        client: Client,
        order: Order,
        coverage: Mapping[str, Coverage],
        *,
        clock: Clock,
        on_progress: Callable[[Progress], None] = lambda _: None,
        stop: Signal = no_stop,
    ) -> None:
        self._client = client
        self._order = order
        self._clock = clock
        self._begun = self._now()  # no page is older, so a day that had ended by then is read whole
        self._on_progress = on_progress
        self._stop = stop
        self._warnings: list[str] = []
        self._coverage: dict[str, Coverage] = {}
        self._lists: dict[str, list[_List]] = {}
        self.failed: list[CallsError] = []  # lists that cannot be read, and why
        self._pages = PageAhead(self._fetch)
        for endpoint in order.endpoints:
            self._begin(endpoint, coverage.get(endpoint, Coverage()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._pages.__exit__(kind, error, tb)

    def read_package(self) -> Package:
        """Reads a whole package into memory; see `read_into`."""
        package = Package()
        for _ in self.read_into(package):
            pass
        return package

    def read_into(self, package: Package) -> Iterator[None]:
        """Reads until the package is full, the budget is empty, nothing is missing, or something fails.

        Gives control back after each page, for `package.take_tables`. Never raises what the PBX or the budget does:
        `package.error` holds it, to be raised when the package is loaded.
        """
        package.warnings += self._warnings
        self._warnings = []
        pages = 0
        try:
            while (endpoint := self._next(pages)) is not None:
                if pages >= self._order.package_pages and package.coverage:
                    return
                if stopped := self._stop():
                    raise stopped
                try:
                    self._read_page(endpoint, package, is_last=pages + 1 >= self._order.package_pages)
                except (UnexpectedPayload, SettingsError) as error:  # of this list; the others may be sound
                    self.failed.append(error)
                    self._lists.pop(endpoint, None)
                pages += 1
                yield
        except CallsError as error:
            package.error = error
            return
        package.done = True
        package.error = self.failed[0] if self.failed else None

    def _begin(self, endpoint: str, stored: Coverage) -> None:
        names = self._order.names.get(endpoint, "")
        coverage = stored.under(names, self._order.timezone)
        if coverage.is_empty and not stored.is_empty:
            what = "time zone" if names == stored.names else "names filter"
            self._warnings.append(f"{endpoint}: the {what} has changed, so its days are read again.")
        if self._order.again is not None:
            stretches = [self._order.again]
        else:
            stretches = missing_ranges(coverage, self._order.start, self._begun, MAX_LIMIT)
        self._coverage[endpoint] = coverage
        self._lists[endpoint] = [_List(s, Cursor(MAX_LIMIT), s.end or date.max) for s in stretches]

    def _next(self, turn: int) -> str | None:
        left = list(self._lists)
        return left[turn % len(left)] if left else None

    def _fetch(self, endpoint: str, stretch: DateRange, place: Cursor) -> list[Raw]:
        return self._client.fetch_calls(
            endpoint,
            from_date=stretch.from_date,
            to_date=stretch.to_date,
            names=self._order.names.get(endpoint, ""),
            limit=place.limit,
            offset=place.offset,
        )

    def _read_page(self, endpoint: str, package: Package, *, is_last: bool) -> None:
        reading = self._lists[endpoint][0]
        place, wire = self._pages.take(endpoint, reading.stretch, reading.place or Cursor(MAX_LIMIT))
        if not is_last:
            self._pages.begin(endpoint, reading.stretch, place, wire)
        page = records.parse_page(
            endpoint, wire, account=self._order.account, timezone=self._order.timezone, loaded_at=self._now()
        )
        if wire and not page.rows:
            bad = [*page.rejected, *page.unplaced][0]
            package.warnings.append(
                f"{endpoint}: none of {len(wire)} records can be read: {bad.reason}. They are in "
                "raw.rejected_records. Has the PBX moved to another version of its API?"
            )
        taken = next_step(place, page.sort_seconds)
        reading.place = taken.place
        if taken.stop > taken.start:
            reading.held.append(page.slice(taken.start, taken.stop))
        self._deliver(endpoint, reading, package)
        self._on_progress(self._progress(endpoint, reading, taken.stop - taken.start, page))

    def _progress(self, endpoint: str, reading: _List, rows: int, page: Page) -> Progress:
        today = self._now().date()
        end = min(reading.stretch.end or today + DAY, today + DAY)
        first = reading.stretch.first
        oldest = _day(page.seconds[-1]) if page.seconds else first
        total = None if first is None else max(1, (end - first).days)
        done = 0 if oldest is None else (end - max(oldest, first or oldest)).days
        return Progress(endpoint, rows, oldest, total if reading.place is None and total else done, total)

    def _deliver(self, endpoint: str, reading: _List, package: Package) -> None:
        """Hands over the days that the last page completed, and takes the list off when all are."""
        first = reading.stretch.first or BEGINNING
        if reading.place is None:
            whole_from = first
        elif reading.place.second is None:
            return
        else:
            whole_from = max(first, _day(reading.place.second) + DAY)
        if whole_from < reading.bottom:
            self._take_days(endpoint, reading, package, (whole_from, reading.bottom))
            reading.bottom = whole_from
        if reading.bottom <= first:
            self._lists[endpoint].pop(0)
            if not self._lists[endpoint]:
                del self._lists[endpoint]

    def _take_days(self, endpoint: str, reading: _List, package: Package, span: tuple[date, date]) -> None:
        days, kept_pages = _split(reading.held, span[0])
        reading.held = kept_pages
        days = {day: pages for day, pages in days.items() if span[0] <= day < span[1]}
        coverage = self._coverage[endpoint]
        known = (coverage.counts, coverage.unplaced, coverage.other_names)
        stored = {day for each in known for day in days_within(each, *span)}
        offered = {day: _day_read(days.get(day, [])) for day in stored | days.keys()}
        shrunk = {day: told.records for day, told in offered.items() if is_shrunk(coverage, day, told)}
        kept = {} if self._order.allow_shrink else shrunk
        read = {day: told for day, told in offered.items() if day not in kept}
        missed = {} if self._order.allow_shrink else _missed(coverage, read, days)
        for day in sorted(read):
            pages, is_missed = days.get(day, []), day in missed
            package.put_day(self._order.account, endpoint, day, pages, coverage, self._now(), keeps_rejected=is_missed)
        read |= {day: replace(read[day], unplaced=number) for day, number in missed.items()}
        for day, number in sorted(kept.items()):
            package.warnings.append(
                f"{endpoint}: the PBX offers {number} records of {day}, fewer than are stored, so the day was left as "
                f"it is. If that is right: calls load --from {day} --to {day} --allow-shrink."
            )
        self._coverage[endpoint] = coverage = self._covered(coverage, read, kept, span, days)
        package.tell_days(self._order.account, endpoint, stored | days.keys(), span, coverage, self._now())

    def _covered(
        self,
        coverage: Coverage,
        read: Mapping[date, DayRead],
        kept: Mapping[date, int],
        span: tuple[date, date],
        days: Mapping[date, list[Page]],
    ) -> Coverage:
        called = (page for pages in days.values() for page in pages if page.table.num_rows)
        newest = max((page.seconds[0] for page in called), default=None)
        known = coverage.newest_at
        at = None if newest is None else datetime.fromtimestamp(newest, UTC).isoformat()
        after = with_days(coverage, read, kept, span, self._begun, self._order.rules)
        return Coverage(**{**vars(after), "newest_at": max(filter(None, (known, at)), default=None)})

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


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


def _missed(coverage: Coverage, read: Mapping[date, DayRead], days: Mapping[date, list[Page]]) -> dict[date, int]:
    """Days whose records without a start are to stay, and how many: none is offered, and no more calls of the time.

    A PBX that is asked for some days need not list them; but one that was mended has become a call.
    """
    stored = {day: coverage.unplaced[day.isoformat()] for day in read if day.isoformat() in coverage.unplaced}
    gone = sum(stored.values()) - sum(told.unplaced for told in read.values())
    if gone <= 0:
        return {}
    until = math.inf if coverage.read_at is None else datetime.fromisoformat(coverage.read_at).timestamp()
    calls = {day: sum(_placed_until(until, page) for page in days.get(day, [])) for day in read}
    if sum(max(0, number - coverage.counts.get(day.isoformat(), 0)) for day, number in calls.items()) >= gone:
        return {}
    alone = {day for day in stored if not read[day].rejected and day.isoformat() not in coverage.rejected}
    return {day: number for day, number in stored.items() if day in alone and not read[day].unplaced}


def _placed_until(second: float, page: Page) -> int:
    unplaced = {bad.row for bad in page.unplaced}
    return sum(at <= second for row, at in enumerate(page.seconds) if row not in unplaced)


def _day_read(pages: list[Page]) -> DayRead:
    placed = sum(len(page.rejected) for page in pages)
    unplaced = sum(len(page.unplaced) for page in pages)
    return DayRead(
        records=sum(len(page.seconds) for page in pages) - unplaced,
        rejected=placed,
        unfinished=sum(page.table["call_finished_at"].null_count for page in pages),
        unplaced=unplaced,
    )
