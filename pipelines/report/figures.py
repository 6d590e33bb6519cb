"""What the report shows, added up by the database for every queue and period that a reader may choose.

The page adds nothing up: it looks a choice up and divides a count by another. A sum over queues, a maximum, and above
all a number of different callers is the database's own for that choice. Rates are divided from counts, never averaged.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median
from string import Template
from typing import Any

from pipelines.report.marts import Query, Row
from pipelines.report.periods import DAY, Calendar, Period, Span

TOTAL = "*"  # the choice of all accounts together
SUMS = (
    "offered_count",
    "answered_count",
    "abandoned_count",
    "short_abandoned_count",
    "timedout_count",
    "other_count",
    "in_progress_count",
    "answered_within_target_count",
    "wait_answered_count",
    "wait_answered_total_seconds",
)
SUMMARY = (*SUMS, "longest_wait_seconds")
TREND = ("offered_count", "answered_count", "abandoned_count", "timedout_count", "answered_within_target_count")
PATTERN = ("offered_count", "abandoned_count", "answered_within_target_count")
LOST = ("lost_callers", "unreached_callers")
USUAL_WEEKS = (1, 2, 3, 4)

PERIODS = "with periods (period, first_date, last_date) as (values $periods)"
IN_PERIODS = "inner join periods on local_date between first_date and last_date"
SUMMARY_SQL = f"""{PERIODS}
select period, account, queue_kind, queue_name, $sums, max(longest_wait_seconds) as longest_wait_seconds
from marts.queue_days {IN_PERIODS} group by grouping sets ($scopes)"""
LOST_SQL = f"""{PERIODS}
select period, account, queue_kind, queue_name,
    count(distinct account || ' ' || caller_number) as lost_callers,
    count(distinct account || ' ' || caller_number) filter (where recovered_by is null) as unreached_callers
from marts.lost_calls {IN_PERIODS} group by grouping sets ($scopes)"""
PATTERN_SQL = f"""{PERIODS}, hours as (
    select account, queue_kind, queue_name, local_date, extract(isodow from local_date) as iso_weekday,
        extract(hour from hour_start_local) as local_hour, $measures
    from marts.queue_hours
)
select period, account, queue_kind, queue_name,
    cast((iso_weekday - 1) * 24 + local_hour as integer) as cell, $sums
from hours {IN_PERIODS} group by grouping sets ($scopes)"""
WAITS_SQL = f"""{PERIODS}
select period, account, queue_kind, queue_name, outcome, bucket_start_seconds as cell,
    cast(sum(calls_count) as bigint) as calls_count
from marts.queue_wait_buckets {IN_PERIODS} where outcome in ('answered', 'abandoned', 'timedout')
group by grouping sets ($scopes)"""
TREND_SQL = """
select account, queue_kind, queue_name, $step as step, $sums
from $mart where local_date between date '$first' and date '$last' group by grouping sets ($scopes)"""
QUEUES_SQL = """
select account, queue_kind, queue_name, max(target_seconds) as target_seconds, max(target_rate) as target_rate,
    max(short_abandon_seconds) as short_abandon_seconds
from marts.queue_calls group by account, queue_kind, queue_name order by account, queue_name, queue_kind"""
BUCKETS = (0, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600)
STEPS = {
    "hour": "cast(extract(hour from hour_start_local) as integer)",
    "day": "local_date",
    "week": "cast(date_trunc('week', cast(local_date as timestamp)) as date)",
    "month": "cast(date_trunc('month', cast(local_date as timestamp)) as date)",
}

Cube = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Scope:
    """Something to choose: a queue, all of an account's, or all (`account` None). Targets None where queues differ."""

    account: str | None
    kind: str | None
    queue: str | None
    target_seconds: int | None
    target_rate: float | None
    short_abandon_seconds: int | None

    @property
    def key(self) -> str:
        """The name that figures go by."""
        return scope_key({"account": self.account, "queue_kind": self.kind, "queue_name": self.queue})


def scope_key(row: Row) -> str:
    """The scope that a row of a grouping set belongs to."""
    return "/".join(filter(None, (row["account"], row["queue_kind"], row["queue_name"]))) or TOTAL


def read_scopes(query: Query) -> list[Scope]:
    """All accounts if there are several, then each account, then its queues."""
    queues = [Scope(*row.values()) for row in query(QUEUES_SQL)]
    accounts = list(dict.fromkeys(queue.account for queue in queues))
    found = [_together(None, queues)] if len(accounts) > 1 else []
    for account in accounts:
        own = [queue for queue in queues if queue.account == account]
        found += [_together(account, own), *own]
    return found


def read_cube(query: Query, scopes: list[Scope], periods: list[Period], calendar: Calendar) -> Cube:
    """By scope: `summary`, `before`, `usual`, `lost`, `pattern`, `waits` by period, and `trend` by grain."""
    cube: Cube = {scope.key: defaultdict(dict) for scope in scopes}
    spans = {period.key: period.span for period in periods}
    before = {f"{period.key} before": period.before for period in periods if period.before}
    weeks_ago = {f"usual {n}": _days_ago(calendar, 7 * n) for n in USUAL_WEEKS}
    wanted = spans | before | weeks_ago
    total = any(scope.account is None for scope in scopes)
    for row in query(_fill(SUMMARY_SQL, wanted, SUMS, total)):
        cube[scope_key(row)]["summary"][row["period"]] = [row[name] for name in SUMMARY]
    for row in query(_fill(LOST_SQL, wanted, (), total)):
        cube[scope_key(row)]["lost"][row["period"]] = [row[name] for name in LOST]
    for row in query(_fill(PATTERN_SQL, spans, PATTERN, total, ("iso_weekday", "local_hour"))):
        pattern = cube[scope_key(row)]["pattern"].setdefault(row["period"], [])
        pattern.append([row["cell"], *(row[name] for name in PATTERN)])
    for row in query(_fill(WAITS_SQL, spans, (), total, ("outcome", "bucket_start_seconds"))):
        waits = cube[scope_key(row)]["waits"].setdefault(row["period"], {})
        waits.setdefault(row["outcome"], [0] * len(BUCKETS))[BUCKETS.index(row["cell"])] = row["calls_count"]
    for scope in scopes:
        cube[scope.key]["usual"] = _usual(cube[scope.key], calendar)
    return cube


def read_trends(query: Query, cube: Cube, periods: list[Period], calendar: Calendar) -> dict[str, list[Any]]:
    """Puts `trend` into the cube, a list a measure and grain, and gives the steps (dates, hours) that they follow."""
    steps: dict[str, list[Any]] = {}
    for grain in dict.fromkeys(period.grain for period in periods):
        span = Span(min(period.span.first for period in periods if period.grain == grain), calendar.as_of)
        steps[grain] = list(range(24)) if grain == "hour" else _steps(span, grain)
        places = {step: place for place, step in enumerate(steps[grain])}
        sql = Template(TREND_SQL).substitute(
            step=STEPS[grain],
            mart="marts.queue_hours" if grain == "hour" else "marts.queue_days",
            sums=_sums(TREND),
            first=span.first,
            last=span.last,
            scopes=_scopes("*" in cube, (STEPS[grain],)),
        )
        for row in query(sql):
            trend = cube[scope_key(row)]["trend"].setdefault(grain, {name: [0] * len(places) for name in TREND})
            for name in TREND:
                trend[name][places[row["step"]]] = row[name]
    return steps


def _fill(sql: str, spans: dict[str, Span], sums: tuple[str, ...], total: bool, more: tuple[str, ...] = ()) -> str:
    periods = ", ".join(f"('{key}', date '{span.first}', date '{span.last}')" for key, span in spans.items())
    scopes = _scopes(total, ("period", *more))
    return Template(sql).substitute(periods=periods, sums=_sums(sums), measures=", ".join(sums), scopes=scopes)


def _scopes(total: bool, also: tuple[str, ...]) -> str:
    sets = [("account",), ("account", "queue_kind", "queue_name")] + ([()] if total else [])
    return ", ".join(f"({', '.join((*also, *columns))})" for columns in sets)


def _sums(names: tuple[str, ...]) -> str:
    return ", ".join(f"cast(sum({name}) as bigint) as {name}" for name in names)


def _together(account: str | None, queues: list[Scope]) -> Scope:
    def shared(name: str) -> Any:
        values = {getattr(queue, name) for queue in queues}
        return values.pop() if len(values) == 1 else None

    return Scope(account, None, None, *map(shared, ("target_seconds", "target_rate", "short_abandon_seconds")))


def _days_ago(calendar: Calendar, days: int) -> Span:
    day = calendar.as_of - DAY * days
    return Span(day, day)


def _usual(figures: dict[str, Any], calendar: Calendar) -> dict[str, float | None]:
    """Medians over the same weekday of the four weeks before: of the days' figures, a day without calls being one."""
    known = [n for n in USUAL_WEEKS if _days_ago(calendar, 7 * n).first >= calendar.first]
    days, lost = [], []
    for n in known:
        row = figures["summary"].pop(f"usual {n}", None)
        days.append(dict(zip(SUMMARY, row or [0] * len(SUMS) + [None], strict=True)))
        lost.append(figures["lost"].pop(f"usual {n}", [0, 0])[1])
    rates = {
        "offered": [day["offered_count"] for day in days],
        "abandonment": [_rate(day["abandoned_count"], day["offered_count"]) for day in days],
        "service": [_rate(day["answered_within_target_count"], day["offered_count"]) for day in days],
        "speed": [_rate(day["wait_answered_total_seconds"], day["wait_answered_count"]) for day in days],
        "longest": [day["longest_wait_seconds"] for day in days],
        "unreached": lost,
    }
    present = {name: [value for value in values if value is not None] for name, values in rates.items()}
    return {"days": len(known), **{name: median(values) if values else None for name, values in present.items()}}


def _rate(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _steps(span: Span, grain: str) -> list[date]:
    step, found = span.first, []
    if grain == "week":
        step -= DAY * step.weekday()
    if grain == "month":
        step = step.replace(day=1)
    while step <= span.last:
        found.append(step)
        step = (step + timedelta(days=31)).replace(day=1) if grain == "month" else step + DAY * (7 if grain == "week" else 1)
    return found
