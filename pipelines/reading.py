"""Reads one account's missing days from the PBX, newest first, into packages of whole days.

A reader keeps its place in each list from one package to the next, so only an interruption reads a page twice. The
endpoints take turns, a page each: when the budget ends early, all three are loaded equally far back.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from types import TracebackType
from typing import Self

from msgspec import Raw

from pipelines import records
from pipelines.ahead import PageAhead
from pipelines.client import MAX_LIMIT, Client
from pipelines.coverage import (
    BEGINNING,
    DAY,
    Coverage,
    DayRead,
    Rules,
    Stretch,
    days_within,
    is_shrunk,
    missing_stretches,
    with_days,
)
from pipelines.errors import CallsError, SettingsWrong, UnexpectedPayload
from pipelines.packages import Package
from pipelines.paging import Place, advance
from pipelines.records import Page

Clock = Callable[[], float]
Signal = Callable[[], CallsError | None]  # a reason to end cleanly, if there is one


def never() -> CallsError | None:
    """No reason to end."""
    return None


@dataclass(frozen=True)
class Order:
    """What to read of an account: by default what is missing of every endpoint."""

    account: str
    timezone: str
    names: Mapping[str, str]
    start: date | None = None
    endpoints: tuple[str, ...] = records.ENDPOINTS
    again: Stretch | None = None  # days to read whether settled or not
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

    stretch: Stretch
    place: Place | None
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
        stop: Signal = never,
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
        self._failed: list[CallsError] = []
        self._rezoned: set[str] = set()
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
                except (UnexpectedPayload, SettingsWrong) as error:  # of this list; the others may be sound
                    self._failed.append(error)
                    self._lists.pop(endpoint, None)
                pages += 1
                yield
        except CallsError as error:
            package.error = error
            return
        package.done = True
        package.error = self._failed[0] if self._failed else None

    def _begin(self, endpoint: str, stored: Coverage) -> None:
        names = self._order.names.get(endpoint, "")
        coverage = stored.under(names, self._order.timezone)
        if coverage.is_empty and not stored.is_empty:
            if names == stored.names:
                self._rezoned.add(endpoint)  # its calls move to other days, and some of those are left empty
            what = "time zone" if endpoint in self._rezoned else "names filter"
            self._warnings.append(f"{endpoint}: the {what} has changed, so its days are read again.")
        if self._order.again is not None:
            stretches = [self._order.again]
        else:
            stretches = missing_stretches(coverage, self._order.start, self._begun, MAX_LIMIT)
        self._coverage[endpoint] = coverage
        self._lists[endpoint] = [_List(s, Place(MAX_LIMIT), s.end or date.max) for s in stretches]

    def _next(self, turn: int) -> str | None:
        left = list(self._lists)
        return left[turn % len(left)] if left else None

    def _fetch(self, endpoint: str, stretch: Stretch, place: Place) -> list[Raw]:
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
        place, wire = self._pages.take(endpoint, reading.stretch, reading.place or Place(MAX_LIMIT))
        if not is_last:
            self._pages.begin(endpoint, reading.stretch, place, wire)
        order = self._order
        first = reading.stretch.first
        page = records.parse_page(
            endpoint,
            wire,
            account=order.account,
            timezone=order.timezone,
            loaded_at=self._now(),
            first=None if first is None else int(datetime.combine(first, time(), UTC).timestamp()),
        )
        taken = advance(place, page.paged_by)
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
        sizes = {day: sum(len(page.seconds) for page in pages) for day, pages in days.items()}
        stored = {*days_within(coverage.counts, *span), *days_within(coverage.other_names, *span)}
        shrunk = {day: sizes.get(day, 0) for day in stored | days.keys() if is_shrunk(coverage, day, sizes.get(day, 0))}
        kept = {} if self._order.allow_shrink or endpoint in self._rezoned else shrunk
        read = {day: _day_read(days.get(day, [])) for day in stored | days.keys() if day not in kept}
        for day in sorted(read):
            package.put_day(self._order.account, endpoint, day, days.get(day, []), coverage, self._now())
        for day, offered in sorted(kept.items()):
            package.warnings.append(
                f"{endpoint}: the PBX offers {offered} records of {day}, fewer than are stored, so the day was left as "
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
        newest = max((page.seconds[0] for pages in days.values() for page in pages), default=None)
        known = coverage.newest_at
        at = None if newest is None else datetime.fromtimestamp(newest, UTC).isoformat()
        after = with_days(coverage, read, kept, span, self._begun, self._order.rules)
        return Coverage(**{**vars(after), "newest_at": max(filter(None, (known, at)), default=None)})

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


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
        records=sum(len(page.seconds) for page in pages),
        rejected=sum(len(page.rejected) for page in pages),
        unfinished=sum(page.table["call_finished_at"].null_count for page in pages),
    )
