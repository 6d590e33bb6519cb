"""The report's figures, computed by the database for every queue and period that a reader can choose.

The page only looks up a choice and divides one count by another. Sums over queues, maxima and above all numbers of
different callers are the database's own for each choice. A rate is a quotient of counts, never an average of rates.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from pipelines.publish.reader import Query, Row
from pipelines.report.periods import DAY, Calendar, Period, Span, list_steps
from pipelines.report.queries import Marts, ask, list_spans, scope_key

TREND = ("offered_count", "answered_count", "abandoned_count", "timedout_count", "answered_within_target_count")
SUMS = (*TREND, "wait_answered_count", "wait_answered_total_seconds")
SUMMARY = (*SUMS, "longest_wait_seconds")
PATTERN = ("offered_count", "abandoned_count", "answered_within_target_count")
LOST = ("lost_callers", "unreached_callers")
BUCKETS = (0, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600)
USUAL_WEEKS = (1, 2, 3, 4)
STEPS = {
    "hour": "cast(extract(hour from hour_start_local) as integer)",
    "day": "local_date",
    "week": "cast(date_trunc('week', cast(local_date as timestamp)) as date)",
    "month": "cast(date_trunc('month', cast(local_date as timestamp)) as date)",
}

Cube = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Scope:
    """A choice: one queue, an account's queues, or all queues (`account` None). Targets are None if queues differ."""

    account: str | None
    kind: str | None
    queue: str | None
    target_seconds: int | None
    target_rate: float | None
    short_abandon_seconds: int | None

    @property
    def key(self) -> str:
        """The key of its figures."""
        return scope_key({"account": self.account, "queue_kind": self.kind, "queue_name": self.queue})


def read_scopes(query: Query) -> list[Scope]:
    """All accounts together if there are several, then each account, followed by its queues."""
    queues = [Scope(*row.values()) for row in ask(query, "queues")]
    accounts = list(dict.fromkeys(queue.account for queue in queues))
    found = [_together(None, queues)] if len(accounts) > 1 else []
    for account in accounts:
        own = [queue for queue in queues if queue.account == account]
        found += [_together(account, own), *own]
    return found


def read_cube(marts: Marts, scopes: list[Scope], periods: list[Period], calendar: Calendar) -> Cube:
    """Per scope: `summary` and `lost` by period and by the period before; `pattern` and `waits` by period; `usual`."""
    cube: Cube = {scope.key: defaultdict(dict) for scope in scopes}
    spans = {period.key: period.span for period in periods}
    before = {f"{period.key} before": period.before for period in periods if period.before}
    compared = spans | before | {f"usual {weeks}": _weeks_ago(calendar, weeks) for weeks in USUAL_WEEKS}
    seen_until = _seen_until(compared, periods, calendar)
    alone, all_spans = list_spans(spans, seen_until), list_spans(compared, seen_until)
    for row in marts.ask("summary", periods=all_spans, by=("period",), sums=SUMS):
        cube[scope_key(row)]["summary"][row["period"]] = _values(row, SUMMARY)
    for row in marts.ask("lost", periods=all_spans, by=("period",)):
        cube[scope_key(row)]["lost"][row["period"]] = _values(row, LOST)
    for row in marts.ask("pattern", periods=alone, by=("period", "cell"), sums=PATTERN):
        cells = cube[scope_key(row)]["pattern"].setdefault(row["period"], [])
        cells.append([row["cell"], *_values(row, PATTERN)])
    for row in marts.ask("waits", periods=alone, by=("period", "outcome", "bucket_start_seconds")):
        outcomes = cube[scope_key(row)]["waits"].setdefault(row["period"], {})
        waits = outcomes.setdefault(row["outcome"], [0] * len(BUCKETS))
        waits[BUCKETS.index(row["bucket_start_seconds"])] = row["calls_count"]
    for figures in cube.values():
        figures["usual"] = _usual(figures, calendar)
    return cube


def read_trends(marts: Marts, cube: Cube, periods: list[Period], calendar: Calendar) -> dict[str, list[Any]]:
    """Add `trend` to the cube: per grain and measure a list with one value per step. Returns the steps by grain."""
    steps: dict[str, list[Any]] = {}
    for grain in dict.fromkeys(period.grain for period in periods):
        span = Span(min(period.span.first for period in periods if period.grain == grain), calendar.as_of)
        steps[grain] = list_steps(span, grain)
        places = {step: place for place, step in enumerate(steps[grain])}
        mart = "marts.queue_hours" if grain == "hour" else "marts.queue_days"
        step, days = STEPS[grain], {"first": span.first, "last": span.last}
        for row in marts.ask("trend", by=(step,), sums=TREND, step=step, mart=mart, **days):
            trend = cube[scope_key(row)]["trend"].setdefault(grain, {name: [0] * len(places) for name in TREND})
            for name in TREND:
                trend[name][places[row["step"]]] = row[name]
    return steps


def _together(account: str | None, queues: list[Scope]) -> Scope:
    def shared(name: str) -> Any:
        values = {getattr(queue, name) for queue in queues}
        return values.pop() if len(values) == 1 else None

    return Scope(account, None, None, *map(shared, ("target_seconds", "target_rate", "short_abandon_seconds")))


def _weeks_ago(calendar: Calendar, weeks: int) -> Span:
    day = calendar.as_of - DAY * 7 * weeks
    return Span(day, day)


def _seen_until(spans: dict[str, Span], periods: list[Period], calendar: Calendar) -> dict[str, datetime]:
    """Until when a recovery counts for each span: spans that are compared have had the same time for it."""
    back = {f"usual {weeks}": timedelta(weeks=weeks) for weeks in USUAL_WEEKS}
    for period in periods:
        if period.before and period.span.last == calendar.as_of:
            back[f"{period.key} before"] = period.span.first - period.before.first
    return {key: calendar.loaded_at - back.get(key, timedelta(0)) for key in spans}


def _usual(figures: dict[str, Any], calendar: Calendar) -> dict[str, float | None]:
    """The medians of the same weekday's figures over the four weeks before; a day without calls counts too."""
    known = [weeks for weeks in USUAL_WEEKS if _weeks_ago(calendar, weeks).first >= calendar.first]
    taken = [
        (figures["summary"].pop(key, None), figures["lost"].pop(key, None)) for key in map("usual {}".format, known)
    ]
    no_calls = [0] * len(SUMS) + [None]
    days = [dict(zip(SUMMARY, summary or no_calls, strict=True)) for summary, _ in taken]
    values = {
        "offered": [day["offered_count"] for day in days],
        "abandonment": [_rate(day["abandoned_count"], day["offered_count"]) for day in days],
        "service": [_rate(day["answered_within_target_count"], day["offered_count"]) for day in days],
        "speed": [_rate(day["wait_answered_total_seconds"], day["wait_answered_count"]) for day in days],
        "longest": [day["longest_wait_seconds"] for day in days],
        "unreached": [lost[LOST.index("unreached_callers")] if lost else 0 for _, lost in taken],
    }
    present = {name: [value for value in found if value is not None] for name, found in values.items()}
    return {"days": len(known)} | {name: median(found) if found else None for name, found in present.items()}


def _values(row: Row, names: tuple[str, ...]) -> list[Any]:
    return [row[name] for name in names]


def _rate(part: int, whole: int) -> float | None:
    return part / whole if whole else None
