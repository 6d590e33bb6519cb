"""Which whole days are loaded, which are settled, and which ranges of days to ask for next.

A day is a UTC date. It is *settled*, and not asked for again, once it was read whole at least `settle_hours` after it
ended everywhere, with no unfinished call and no fewer records than are stored (or once it is `open_call_days` old).
Coverage lies in the list's state, which commits together with the rows it describes. Ranges of days are half-open.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any, Self

import msgspec

DAY = timedelta(days=1)
WESTERNMOST_HOURS = 12  # a date ends last at UTC-12
BEGINNING = date.min  # "any time": the list was read to its end


def check_day(day: date) -> None:
    """Raises `ValueError` for a day that no PBX has calls of."""
    if not 1990 <= day.year < 2200:
        raise ValueError(f"no PBX has calls of {day:%Y-%m-%d}")


@dataclass(frozen=True)
class Days:
    """A set of days as sorted, disjoint, half-open ranges."""

    ranges: tuple[tuple[date, date], ...] = ()

    def add(self, first: date, end: date) -> Self:
        """With the days from `first` to before `end`."""
        if first >= end:
            return self
        apart = [r for r in self.ranges if r[1] < first or r[0] > end]
        joined = [r for r in self.ranges if not (r[1] < first or r[0] > end)]
        whole = (min([first, *(r[0] for r in joined)]), max([end, *(r[1] for r in joined)]))
        return replace(self, ranges=tuple(sorted([*apart, whole])))

    def remove(self, first: date, end: date) -> Self:
        """Without the days from `first` to before `end`."""
        below = ((low, min(high, first)) for low, high in self.ranges)
        above = ((max(low, end), high) for low, high in self.ranges)
        return replace(self, ranges=tuple(sorted({r for r in (*below, *above) if r[0] < r[1]})))

    def gaps(self, first: date, end: date) -> list[tuple[date, date]]:
        """The ranges between `first` and `end` that are not in the set, oldest first."""
        found, at = [], first
        for low, high in self.ranges:
            if high <= at:
                continue
            if low >= end:
                break
            if low > at:
                found.append((at, low))
            at = max(at, high)
        return [*found, (at, end)] if at < end else found

    def __contains__(self, day: date) -> bool:
        return any(low <= day < high for low, high in self.ranges)


@dataclass(frozen=True)
class Rules:
    """When a day is settled."""

    settle_hours: float = 24
    open_call_days: int = 7


@dataclass(frozen=True)
class DateRange:
    """Days to ask for: from `first` (None: any time) to before `end` (None: to the newest call)."""

    first: date | None
    end: date | None

    @property
    def from_date(self) -> str:
        """What to ask the PBX for: a day earlier, because whose midnight it means is unknown."""
        return "" if self.first is None else (self.first - DAY).isoformat()

    @property
    def to_date(self) -> str:
        """A day later than the last, and one more in case the PBX leaves that one out."""
        return "" if self.end is None else (self.end + DAY).isoformat()

    def __contains__(self, day: date) -> bool:
        return (self.first is None or day >= self.first) and (self.end is None or day < self.end)


@dataclass(frozen=True)
class Coverage:
    """What is known of one list's days. The mappings are by ISO date; a day with zero is left out."""

    names: str = ""  # the names filter the days were read with
    timezone: str = ""  # the account's time zone then; '' is not known
    settled: Days = Days()
    counts: Mapping[str, int] = field(default_factory=dict)  # records, including the rejected
    rejected: Mapping[str, int] = field(default_factory=dict)
    unfinished: Mapping[str, int] = field(default_factory=dict)
    offered_less: Mapping[str, int] = field(default_factory=dict)  # days kept because the PBX offered fewer: how many
    other_names: Mapping[str, int] = field(default_factory=dict)  # records stored under an earlier filter or zone
    is_moved: bool = False  # `other_names` are of an earlier zone, so calls may be on other days now
    newest_at: str | None = None  # ISO instant of the newest call
    read_at: str | None = None  # ISO instant of the last package

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever read."""
        return self.read_at is None

    @property
    def first_day(self) -> date | None:
        """The oldest day known to hold a record."""
        days = [*self.counts, *self.other_names]
        return date.fromisoformat(min(days)) if days else None

    @classmethod
    def from_old_state(cls, state: Mapping[str, Any]) -> Self:
        """From the state of the first version.

        It kept records without a start among a day's rejected ones, counted apart as `unplaced`. Such a day is marked,
        so that they go when it is read again.
        """
        rejected = {**dict.fromkeys(state.get("unplaced", ()), 0), **state["rejected"]}
        return msgspec.convert({**state, "rejected": rejected, "settled": {"ranges": state["settled"]}}, cls)

    def under(self, names: str, timezone: str = "") -> Self:
        """This coverage under other settings: after a change of filter or zone every day must be read again.

        In another zone a time without an offset is another instant, so a call may be on another day.
        """
        if names == self.names and timezone in (self.timezone, ""):
            return self
        if names == self.names and not self.timezone:
            return replace(self, timezone=timezone)
        stored, is_moved = {**self.other_names, **self.counts}, self.is_moved or names == self.names
        afresh = replace(self, names=names, timezone=timezone or self.timezone, settled=Days(), counts={}, read_at=None)
        return replace(afresh, offered_less={}, other_names=stored, is_moved=is_moved)


@dataclass(frozen=True)
class DayRead:
    """One day as the PBX gave it: how many records, how many of them rejected, how many unfinished."""

    records: int = 0
    rejected: int = 0
    unfinished: int = 0


def missing_ranges(coverage: Coverage, start: date | None, now: datetime, page_rows: int) -> list[DateRange]:
    """The ranges of days to ask for, newest first. The newest has no end.

    Two neighbours are joined if that costs no extra request: if the settled days between them hold less than half a
    page, or if everything known from the older one up holds less than a page.
    """
    first = start or BEGINNING
    today = now.date()
    gaps = coverage.settled.gaps(first, today) if first < today else []
    low = gaps.pop()[0] if gaps and gaps[-1][1] >= today else max(today, first)
    joined: list[tuple[date, date | None]] = [(low, None)]
    for gap in reversed(gaps):
        newer = joined[-1]
        between = sum(_between(coverage.counts, gap[1], newer[0]))
        padded = max(gap[0], BEGINNING + DAY) - DAY
        if between < page_rows // 2 or sum(_between(coverage.counts, padded, newer[1] or date.max)) < page_rows:
            joined[-1] = (gap[0], newer[1])
        else:
            joined.append(gap)
    return [DateRange(None if low == BEGINNING else low, high) for low, high in joined]


def unread_ranges(coverage: Coverage, start: date | None, rules: Rules) -> list[tuple[date, date]]:
    """The half-open ranges of days, oldest first, that had ended at the last load and were never read whole.

    A range from "any time" begins at `BEGINNING`. Days that were read but are not settled are left out.
    """
    first = start or BEGINNING
    if coverage.read_at is None or first >= (ended := _ended_by(datetime.fromisoformat(coverage.read_at), rules)):
        return []
    known = coverage.settled
    for day in days_within({*coverage.unfinished, *coverage.offered_less}, first, ended):
        known = known.add(day, day + DAY)
    return known.gaps(first, ended)


def is_shrunk(coverage: Coverage, day: date, offered: DayRead) -> bool:
    """Whether the PBX offers fewer records than are stored, so that replacing the day would lose calls.

    A day stored under another names filter counts as shrunk only if it comes back empty; one stored under another time
    zone never does.
    """
    key = day.isoformat()
    if key in coverage.other_names:
        return offered.records == 0 and not coverage.is_moved
    return offered.records < coverage.counts.get(key, 0)


def with_days(
    coverage: Coverage,
    read: Mapping[date, DayRead],
    kept: Mapping[date, int],
    span: tuple[date, date],
    now: datetime,
    rules: Rules,
) -> Coverage:
    """Coverage after the days of `span` were read whole.

    `read` is what is stored of them now; a day without an entry has no records. `kept` are the days that were not
    replaced because the PBX offered fewer records than are stored: how many it offered.
    """
    keys = {day.isoformat() for day in read}
    counts = _replaced(coverage.counts, keys, {d: r.records for d, r in read.items()})
    unfinished = _replaced(coverage.unfinished, keys, {d: r.unfinished for d, r in read.items()})
    settled = coverage.settled.remove(*span)  # a settled day that is read again may hold an unfinished call
    offered_less = {day.isoformat(): n for day, n in kept.items()}
    for low, high in _settled_ranges(span, {*unfinished, *offered_less}, now, rules):
        settled = settled.add(low, high)
    other_names = _replaced(coverage.other_names, keys, {})
    return replace(
        coverage,
        settled=settled,
        counts=counts,
        unfinished=unfinished,
        rejected=_replaced(coverage.rejected, keys, {d: r.rejected for d, r in read.items()}),
        offered_less={key: n for key, n in coverage.offered_less.items() if key not in keys} | offered_less,
        other_names=other_names,
        is_moved=coverage.is_moved and bool(other_names),
        read_at=now.isoformat(),
    )


def days_within(keys: Iterable[str], first: date, end: date) -> Iterator[date]:
    """The dates among these ISO texts that lie in the half-open range."""
    low, high = first.isoformat(), end.isoformat()
    return (date.fromisoformat(key) for key in keys if low <= key < high)


def _settled_ranges(
    span: tuple[date, date], doubtful: set[str], now: datetime, rules: Rules
) -> list[tuple[date, date]]:
    ended = _ended_by(now, rules)
    patience_over = (now - timedelta(days=rules.open_call_days)).date()
    first, end = span[0], min(span[1], ended)
    still_open = Days()
    for day in days_within(doubtful, max(first, patience_over), max(end, patience_over)):
        still_open = still_open.add(day, day + DAY)
    return still_open.gaps(first, end) if first < end else []


def _ended_by(now: datetime, rules: Rules) -> date:
    """The first day that ended everywhere less than `settle_hours` ago."""
    return (now - timedelta(hours=WESTERNMOST_HOURS + rules.settle_hours)).date()


def _between(counts: Mapping[str, int], first: date, end: date) -> Iterator[int]:
    return (counts[day.isoformat()] for day in days_within(counts, first, end))


def _replaced(old: Mapping[str, int], keys: set[str], new: Mapping[date, int]) -> dict[str, int]:
    kept = {key: n for key, n in old.items() if key not in keys}
    return kept | {day.isoformat(): n for day, n in new.items() if n}
