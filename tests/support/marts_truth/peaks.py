"""How many waited and talked at once, and the quarters of an hour in which anything happened, in plain Python."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from zoneinfo import ZoneInfo

from tests.support.marts_truth.calls import Row
from tests.support.marts_truth.queues import QUEUE, Key, additive_measures, grouped, start_of

QUARTER = timedelta(minutes=15)
Span = tuple[datetime, datetime]  # half-open


def waiting_span(call: Row) -> Span | None:
    """From entry to answer, or to the end of a call that nobody answered; None where that is not known."""
    left = call["answered_at"] if call["outcome"] == "answered" else call["finished_at"]
    return None if left is None else (call["entered_at"], left)


def talking_span(call: Row) -> Span | None:
    """From answer to end."""
    answered, finished = call["answered_at"], call["finished_at"]
    return (answered, finished) if call["outcome"] == "answered" and answered and finished else None


def quarters(start: datetime, end: datetime) -> Iterator[datetime]:
    """The quarters of an hour, in UTC as in every zone of today, that a span has a part in."""
    at = start - timedelta(minutes=start.minute % 15, seconds=start.second, microseconds=start.microsecond)
    while at < end:
        yield at
        at += QUARTER


def peaks(spans: Iterable[tuple[Key, Span | None]]) -> dict[Key, int]:
    """By queue and quarter, the most spans that held one instant; a span without length holds none."""
    steps: dict[Key, list[tuple[datetime, int]]] = {}
    for queue, span in spans:
        if span:
            for at in quarters(*span):
                inside = (max(span[0], at), 1), (min(span[1], at + QUARTER), -1)
                steps.setdefault((*queue, at), []).extend(inside)
    return {key: max(accumulate(step for _, step in sorted(found))) for key, found in steps.items()}


def queue_intervals(calls: list[Row], zone: dict[str, ZoneInfo]) -> list[Row]:
    """A row for each queue and quarter of an hour in which a call entered, waited or talked."""
    entered = grouped(calls, lambda call: (*queue_of(call), start_of(call, 15)))
    waiting = peaks((queue_of(call), waiting_span(call)) for call in calls)
    talking = peaks((queue_of(call), talking_span(call)) for call in calls)
    rows = []
    for key in {**entered, **waiting, **talking}:
        at = key[-1]
        local = at.astimezone(zone[key[0]])
        row = dict(zip(QUEUE, key[:-1], strict=True)) | additive_measures(entered.get(key, []))
        row |= {"interval_start_at": at.astimezone(UTC), "interval_start_local": local.replace(tzinfo=None)}
        row |= {
            "local_date": local.date(),
            "utc_offset_minutes": (local.utcoffset() or timedelta()) // timedelta(minutes=1),
        }
        rows.append(row | {"peak_waiting_count": waiting.get(key, 0), "peak_talking_count": talking.get(key, 0)})
    return rows


def queue_of(call: Row) -> Key:
    """What tells a queue from every other."""
    return tuple(call[name] for name in QUEUE)
