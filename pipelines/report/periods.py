"""Which days are whole, and the periods that a reader can choose. Dates are the accounts' local dates, inclusive."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal

import pendulum

DAY = timedelta(days=1)
Grain = Literal["hour", "day", "week", "month"]
PRESETS = ((7, "Last 7 days"), (28, "Last 28 days"), (91, "Last 13 weeks"))
MONTHS = 12  # the newest months, each of which can be chosen
WEEKS = 52
LONG_DAYS = 731  # a longer history is drawn by month, and its years can be chosen
STRAGGLER_DAYS = 2  # an account further behind has stopped loading, and the report goes on without it


@dataclass(frozen=True)
class Span:
    """Local dates from `first` to `last`, both inclusive."""

    first: date
    last: date

    @property
    def days(self) -> int:
        """The number of dates."""
        return (self.last - self.first).days + 1


@dataclass(frozen=True)
class Period:
    """A choice: its span, the grain of its trend, and the span before it, if all of that has been loaded."""

    key: str
    label: str
    span: Span
    grain: Grain
    before: Span | None = None

    def weekdays(self) -> list[int]:
        """How often each weekday, from Monday, lies in the span."""
        return [sum((self.span.first + DAY * n).weekday() == day for n in range(self.span.days)) for day in range(7)]


@dataclass(frozen=True)
class Calendar:
    """What was loaded: the first local date with a queue call, the last whole date, and the last load's instant."""

    first: date
    as_of: date
    is_whole: bool  # False on the very first day, which is reported before it has ended
    loaded_at: datetime


def last_whole_date(last_load_at: datetime, last_day: date, utc_offset: timedelta) -> date:
    """The last local date that had ended at the last load, and whose UTC days lie at or before `last_day`."""
    loaded = (last_load_at + utc_offset).date() - DAY
    # A local date ends in the UTC day of its last second.
    while (datetime.combine(loaded + DAY, datetime.min.time()) - utc_offset - timedelta(seconds=1)).date() > last_day:
        loaded -= DAY
    return loaded


def read_calendar(first: date, newest: date, whole: list[date], loaded_at: datetime) -> Calendar:
    """The calendar up to the last date that is whole for all accounts, without those that have stopped loading."""
    current = [day for day in whole if day >= max(whole) - STRAGGLER_DAYS * DAY]
    as_of = min(current)
    is_whole = as_of >= first
    return Calendar(first, as_of if is_whole else newest, is_whole, loaded_at)


def list_periods(calendar: Calendar) -> list[Period]:
    """All periods that the history fills or has begun to fill."""
    first, last = calendar.first, calendar.as_of
    history = Span(first, last)
    day_name = f"{last:%A}, {last.day} {last:%B}" if calendar.is_whole else "Today so far"
    periods = [Period("day", day_name, Span(last, last), "hour")]
    for days, label in PRESETS:
        start = last - DAY * (days - 1)
        if first < start:
            before = Span(start - DAY * days, start - DAY)
            periods.append(Period(f"days{days}", label, Span(start, last), "day", _if_loaded(before, history)))
    start = pendulum.instance(last).start_of("week").subtract(weeks=WEEKS - 1)
    if first < start:
        before = Span(start.subtract(weeks=WEEKS), last - timedelta(weeks=WEEKS))
        periods.append(Period("weeks", f"Last {WEEKS} weeks", Span(start, last), "week", _if_loaded(before, history)))
    grain: Grain = "day" if history.days <= 92 else "week" if history.days <= LONG_DAYS else "month"
    periods.append(Period("all", "Everything loaded", history, grain))
    if history.days > 31:
        periods += _months(history)
    if history.days > LONG_DAYS:
        periods += _years(history)
    return periods


def default_period(periods: list[Period]) -> str:
    """The key of the period shown first: four weeks are enough for a pattern and few enough to act on."""
    keys = [period.key for period in periods]
    return "days28" if "days28" in keys else "all"


def list_steps(span: Span, grain: Grain) -> list[Any]:
    """The hours of a day, or the first dates of the span's days, weeks or months."""
    if grain == "hour":
        return list(range(24))
    first = pendulum.instance(span.first).start_of(grain)
    return list(pendulum.Interval(first, span.last).range(f"{grain}s"))


def _if_loaded(span: Span, history: Span) -> Span | None:
    return span if span.first >= history.first else None


def _months(history: Span) -> list[Period]:
    newest = pendulum.instance(history.last).start_of("month")
    found = []
    for month in (newest.subtract(months=back) for back in range(MONTHS)):
        end = month.end_of("month")
        if end < history.first:
            break
        span = Span(max(month, history.first), min(end, history.last))
        is_cut = end > history.last
        start = month.subtract(months=1)
        before = Span(start, min(start + DAY * (span.days - 1), month - DAY) if is_cut else month - DAY)
        known = _if_loaded(before, history)
        label = f"{month:%B %Y}" + (" so far" if is_cut else "")
        found.append(Period(f"{month:%Y-%m}", label, span, "day", known if span.first == month else None))
    return found


def _years(history: Span) -> list[Period]:
    found = []
    for year in range(history.last.year, history.first.year - 1, -1):
        span = Span(max(date(year, 1, 1), history.first), min(date(year, 12, 31), history.last))
        before = Span(date(year - 1, 1, 1), date(year - 1, 12, 31))
        known = _if_loaded(before, history) if span.days >= 365 else None
        found.append(Period(f"{year}", f"{year}", span, "month", known))
    return found
