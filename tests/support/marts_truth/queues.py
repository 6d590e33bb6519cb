"""The measures of queues, in plain Python: rows of `queue_calls` → the marts by period, and buckets."""

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

from tests.support.marts_truth.calls import Row

QUARTER = timedelta(minutes=15)
BORDERS = (0, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600, None)
NO_NUMBER = "(unknown)"  # the dialled number of a call that names none
QUEUE = ("account", "queue_kind", "queue_name")
Key = tuple[Any, ...]


def share(part: int, whole: int) -> float | None:
    """A fraction; of nothing, None."""
    return part / whole if whole else None


def mean(values: Sequence[int]) -> float | None:
    """The arithmetic mean; of nothing, None."""
    return math.fsum(values) / len(values) if values else None


def percentile(values: Sequence[int], fraction: float) -> float | None:
    """`percentile_cont` of sorted values: between the two ranks around `fraction * (n - 1)`, in proportion."""
    if not values:
        return None
    rank = fraction * (len(values) - 1)
    low = math.floor(rank)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (rank - low)


def additive_measures(calls: Sequence[Row]) -> Row:
    """The measures that can be added up over periods, and the rates made of them."""
    by_outcome: dict[str, list[Row]] = {}
    for call in calls:
        by_outcome.setdefault(call["outcome"], []).append(call)
    answered, abandoned = by_outcome.get("answered", []), by_outcome.get("abandoned", [])
    timedout, other = len(by_outcome.get("timedout", [])), len(by_outcome.get("other", []))
    offered = [call for call in calls if call["outcome"] != "in_progress"]
    total, n_answered, n_abandoned = len(offered), len(answered), len(abandoned)
    short = sum(call["is_short_abandon"] for call in abandoned)
    in_time = sum(call["is_within_target"] for call in answered)
    left_in_time = sum(call["_is_left_in_time"] for call in abandoned)
    anonymous = sum(call["is_anonymous"] for call in offered)
    answer_waits = [call["wait_seconds"] for call in answered if call["wait_seconds"] is not None]
    abandon_waits = [call["wait_seconds"] for call in abandoned if call["wait_seconds"] is not None]
    talks = [call["talk_seconds"] for call in answered if call["talk_seconds"] is not None]
    return {
        "offered_count": total,
        "answered_count": n_answered,
        "abandoned_count": n_abandoned,
        "short_abandoned_count": short,
        "timedout_count": timedout,
        "other_count": other,
        "in_progress_count": len(calls) - total,
        "answered_within_target_count": in_time,
        "abandoned_within_target_count": left_in_time,
        "abandonment_rate": share(n_abandoned, total),
        "abandonment_net_rate": share(n_abandoned - short, total - short),
        "lost_rate": share(n_abandoned + timedout, total),
        "answer_rate": share(n_answered, total),
        "service_level_offered_rate": share(in_time, total),
        "service_level_net_rate": share(in_time, total - short),
        "service_level_answered_rate": share(in_time, n_answered),
        "service_level_removed_rate": share(in_time + left_in_time, total),
        "service_level_late_abandons_rate": share(in_time, total - left_in_time),
        "service_level_icmi_rate": share(in_time + short, total),
        "average_speed_of_answer_seconds": mean(answer_waits),
        "average_time_to_abandon_seconds": mean(abandon_waits),
        "longest_wait_seconds": max((c["wait_seconds"] for c in calls if c["wait_seconds"] is not None), default=None),
        "talk_total_seconds": sum(talks),
        "talk_average_seconds": mean(talks),
        "anonymous_count": anonymous,
        "anonymous_rate": share(anonymous, total),
        "in_hours_offered_count": sum(call["is_in_hours"] for call in offered),
    }


def queue_measures(calls: Sequence[Row]) -> Row:
    """All queue measures: with those that cannot be added up, percentiles and callers."""
    found = additive_measures(calls)
    for outcome in ("answered", "abandoned"):
        mine = (call["wait_seconds"] for call in calls if call["outcome"] == outcome)
        waits = sorted(wait for wait in mine if wait is not None)
        for percent in (50, 90, 95):
            found[f"wait_{outcome}_p{percent}_seconds"] = percentile(waits, percent / 100)
        found[f"wait_{outcome}_max_seconds"] = waits[-1] if waits else None
    known = [call for call in calls if not call["is_anonymous"] and call["outcome"] != "in_progress"]
    found["unique_callers_count"] = len({call["caller_number"] for call in known})
    found["repeat_callers_count"] = len({call["caller_number"] for call in known if call["is_repeat"]})
    return found


def grouped(calls: Iterable[Row], key: Callable[[Row], Key]) -> dict[Key, list[Row]]:
    """Calls by key."""
    groups: dict[Key, list[Row]] = {}
    for call in calls:
        groups.setdefault(key(call), []).append(call)
    return groups


def by_columns(calls: Iterable[Row], **columns: Callable[[Row], Any]) -> list[Row]:
    """A row of all queue measures for each combination of the columns' values."""
    groups = grouped(calls, lambda call: tuple(read(call) for read in columns.values()))
    return [dict(zip(columns, key, strict=True)) | queue_measures(mine) for key, mine in groups.items()]


def field(name: str) -> Callable[[Row], Any]:
    """Reads one field."""
    return lambda call: call[name]


def start_of(call: Row, minutes: int) -> datetime:
    """The instant (UTC) at which the local stretch of so many minutes began in which the call entered."""
    local: datetime = call["entered_at_local"]
    into = timedelta(minutes=local.minute % minutes, seconds=local.second, microseconds=local.microsecond)
    began: datetime = call["entered_at"] - into
    return began.astimezone(UTC)


def local_columns(prefix: str, minutes: int) -> dict[str, Callable[[Row], Any]]:
    """A stretch's instant, with local start, date and offset beside it."""
    return {
        f"{prefix}_start_at": lambda call: start_of(call, minutes),
        f"{prefix}_start_local": lambda call: start_of(call, minutes).replace(tzinfo=None) + call["_utc_offset"],
        "local_date": field("local_date"),
        "utc_offset_minutes": lambda call: call["_utc_offset"] // timedelta(minutes=1),
    }


def monday(call: Row) -> date:
    """The first day of the ISO week."""
    day: date = call["local_date"]
    return day - timedelta(days=day.weekday())


def periods(calls: list[Row]) -> dict[str, list[Row]]:
    """The marts that hold all queue measures by period, and those of one row a dialled number or account and day."""
    queue = {name: field(name) for name in QUEUE}
    day = {"local_date": field("local_date")}
    return {
        "queue_hours": by_columns(calls, **queue, **local_columns("hour", 60)),
        "queue_days": by_columns(calls, **queue, **day),
        "queue_weeks": by_columns(calls, **queue, week_start_date=monday),
        "queue_months": by_columns(calls, **queue, month_start_date=lambda call: call["local_date"].replace(day=1)),
        "account_days": by_columns(calls, account=field("account"), **day),
        "inbound_number_days": by_columns(
            calls, account=field("account"), inbound_number=lambda call: call["inbound_number"] or NO_NUMBER, **day
        ),
    }


def queue_wait_buckets(calls: Iterable[Row]) -> list[Row]:
    """How many calls waited how long, by queue, day and outcome; a bucket without calls has no row."""
    counts: dict[Key, int] = {}
    for call in calls:
        if call["wait_seconds"] is not None:
            start, end = bucket_of(call["wait_seconds"])
            key = (*(call[name] for name in (*QUEUE, "local_date", "outcome")), start, end)
            counts[key] = counts.get(key, 0) + 1
    names = (*QUEUE, "local_date", "outcome", "bucket_start_seconds", "bucket_end_seconds")
    return [dict(zip(names, key, strict=True)) | {"calls_count": n} for key, n in counts.items()]


def bucket_of(wait: int) -> tuple[int, int | None]:
    """The bucket [start, end) that a wait falls into."""
    for low, high in pairwise(BORDERS):
        if low is not None and low <= wait and (high is None or wait < high):
            return low, high
    raise AssertionError(f"no bucket for {wait}")
