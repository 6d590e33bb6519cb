"""Every mart, computed in plain Python from raw records by the published definitions, to hold the SQL to.

Written without a look at the SQL. Where the definitions leave a choice, the line that makes it says which.
"""

from collections.abc import Iterable
from datetime import date, datetime, timedelta

from tests.support.marts_truth.agents import agent_days
from tests.support.marts_truth.callers import caller_journeys, lost_calls
from tests.support.marts_truth.calls import KIND, Raw, Row, Seeds, outcome_of, queue_calls, user_calls, zones
from tests.support.marts_truth.peaks import queue_intervals
from tests.support.marts_truth.queues import QUEUE, Key, additive_measures, grouped, monday, periods, queue_wait_buckets

DAY = timedelta(days=1)
WINDOW = 91 * DAY  # 13 weeks


def compute_marts(raw: Raw, seeds: Seeds, before: Raw) -> dict[str, list[Row]]:
    """All marts as they should stand after a load that left `raw`; `before` is what the one before it had left."""
    calls, own = queue_calls(raw, seeds), user_calls(raw)
    zone = zones(raw)
    loaded_at = {row["account"]: row["loaded_at"] for row in raw["accounts"]}
    return {
        "queue_calls": calls,
        "user_calls": own,
        "queue_intervals": queue_intervals(calls, zone),
        **periods(calls),
        "queue_hour_of_week": queue_hour_of_week(calls),
        "queue_wait_buckets": queue_wait_buckets(calls),
        "agent_days": agent_days(calls, own),
        "lost_calls": lost_calls(calls, own, loaded_at),
        "caller_journeys": caller_journeys(calls),
        "load_health": load_health(raw),
        "restatements": restatements(before, queue_calls(before, seeds), calls, loaded_at),
        "dates": dates((call["local_date"] for call in [*calls, *own]), seeds),
    }


def queue_hour_of_week(calls: list[Row]) -> list[Row]:
    """By ISO weekday and local hour over 91 days, or as many as there are, up to the day before the newest call's."""
    rows = []
    for (account,), mine in grouped(calls, lambda call: (call["account"],)).items():
        days = [call["local_date"] for call in mine]
        end = max(days) - DAY  # the newest day may not be over
        start = max(min(days), end - WINDOW + DAY)
        window = [start + n * DAY for n in range((end - start).days + 1)]
        recent = [call for call in mine if start <= call["local_date"] <= end]
        for key, group in grouped(recent, hour_of_week).items():
            weeks = sum(day.isoweekday() == key[2] for day in window)
            found = additive_measures(group)
            row = {"account": account, "queue_kind": key[0], "queue_name": key[1]}
            row |= {"iso_weekday": key[2], "local_hour": key[3]}
            row |= {name: found[name] for name in HOUR_OF_WEEK}
            row |= {"window_start_date": start, "window_end_date": end, "weeks_count": weeks}
            row |= {f"{name}_per_week": found[f"{name}_count"] / weeks for name in ("offered", "answered", "abandoned")}
            rows.append(row)
    return rows


HOUR_OF_WEEK = (
    "offered_count",
    "answered_count",
    "abandoned_count",
    "abandonment_rate",
    "service_level_offered_rate",
    "average_speed_of_answer_seconds",
)


def hour_of_week(call: Row) -> Key:
    """Queue, ISO weekday, local hour."""
    local: datetime = call["entered_at_local"]
    return call["queue_kind"], call["queue_name"], local.isoweekday(), local.hour


def load_health(raw: Raw) -> list[Row]:
    """A row for each account and endpoint that any day was loaded of."""
    rows = []
    for (account, endpoint), days in grouped(raw["loaded_days"], whose).items():
        loaded = {row["call_day"] for row in days}
        calls = [row for row in raw[endpoint] if row["account"] == account]
        rejected = [row for row in raw["rejected_records"] if whose(row) == (account, endpoint)]
        reads = [row["whole_read_at"] for row in raw["lists"] if whose(row) == (account, endpoint)]
        unplaced = [row for row in raw["unplaced_records"] if whose(row) == (account, endpoint)]
        newest = max((row["call_start_at"] for row in calls), default=None)
        last_load = max(row["loaded_at"] for row in days)
        unknown = sum(outcome_of(row) == "other" for row in calls) if endpoint in KIND else 0
        rows.append(
            {
                "account": account,
                "endpoint": endpoint,
                "first_day_date": min(loaded),
                "last_day_date": max(loaded),
                "gap_days_count": (max(loaded) - min(loaded)).days + 1 - len(loaded),
                "newest_call_at": newest,
                "last_load_at": last_load,
                "calls_count": len(calls),
                "rejected_count": len(rejected),
                "unplaced_count": sum(
                    row["copies_count"] for row in unplaced for read_at in reads if row["last_seen_at"] >= read_at
                ),
                "unfinished_count": sum(row["call_finished_at"] is None for row in calls),
                "shrunk_days_count": sum(row["offered_less_count"] is not None for row in days),
                "other_count": unknown,
                # Of the newest call at the last load: a number that stays true until the next one.
                "freshness_seconds": None if newest is None else (last_load - newest) // timedelta(seconds=1),
            }
        )
    return rows


def whose(row: Row) -> Key:
    """Account and endpoint."""
    return row["account"], row["endpoint"]


def restatements(before: Raw, old_calls: list[Row], calls: list[Row], loaded_at: dict[str, datetime]) -> list[Row]:
    """Queues' days whose figures one load changed, of those that were over at the load before; no calls count as 0."""
    zone = zones(before)
    today = {row["account"]: row["loaded_at"].astimezone(zone[row["account"]]).date() for row in before["accounts"]}
    old, new = figures(old_calls), figures(calls)
    rows = []
    for key in {**old, **new}:
        was, is_now = old.get(key, (0, 0, 0)), new.get(key, (0, 0, 0))
        account, day = key[0], key[3]
        if was == is_now or day >= today.get(account, date.min):
            continue
        row = dict(zip((*QUEUE, "local_date"), key, strict=True)) | {"restated_at": loaded_at[account]}
        for name, was_count, count in zip(PUBLISHED, was, is_now, strict=True):
            row |= {f"old_{name}": was_count, f"new_{name}": count}
        rows.append(row)
    return rows


PUBLISHED = ("offered_count", "answered_count", "abandoned_count")


def figures(calls: list[Row]) -> dict[Key, tuple[int, ...]]:
    """What is published of each queue and local day."""
    days = grouped(calls, lambda call: (*(call[name] for name in QUEUE), call["local_date"]))
    measured = {key: additive_measures(calls) for key, calls in days.items()}
    return {key: tuple(row[name] for name in PUBLISHED) for key, row in measured.items()}


def dates(days: Iterable[date], seeds: Seeds) -> list[Row]:
    """Every day of the years in which there are calls."""
    days = set(days)
    names: dict[date, set[str]] = {}
    for holiday in seeds.holidays:
        names.setdefault(date.fromisoformat(holiday["holiday_date"]), set()).add(holiday["holiday_name"])
    first, last = date(min(days).year, 1, 1), date(max(days).year, 12, 31)
    rows: list[Row] = []
    for n in range((last - first).days + 1):
        day = first + n * DAY
        year, week, weekday = day.isocalendar()
        row: Row = {"calendar_date": day, "iso_weekday": weekday, "iso_year": year, "iso_week": week}
        row |= {"week_start_date": monday({"local_date": day}), "month_start_date": day.replace(day=1)}
        row |= {"calendar_month": day.month, "is_holiday": day in names}
        rows.append(row | {"holiday_name": ", ".join(sorted(names.get(day, ()))) or None})
    return rows
