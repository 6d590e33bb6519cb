"""The mart `agent_days`, in plain Python: what each user answered, called, missed, and how long they talked."""

from collections.abc import Iterable, Sequence
from datetime import timedelta

from tests.support.marts_truth.calls import UNNAMED, Row
from tests.support.marts_truth.peaks import Span, talking_span
from tests.support.marts_truth.queues import Key, mean

SECOND = timedelta(seconds=1)


def agent_days(calls: Iterable[Row], user_calls: Iterable[Row]) -> list[Row]:
    """A row for each user and local day with a call answered in a queue, or a call of their own."""
    days: dict[Key, tuple[list[Row], list[Row]]] = {}
    for call in calls:
        if call["outcome"] == "answered":
            key = (call["account"], call["answered_by"] or UNNAMED, call["local_date"])
            days.setdefault(key, ([], []))[0].append(call)
    for call in user_calls:
        days.setdefault((call["account"], call["user_name"], call["local_date"]), ([], []))[1].append(call)
    return [
        {"account": account, "user_name": user, "local_date": day} | agent_measures(queued, own)
        for (account, user, day), (queued, own) in days.items()
    ]


def agent_measures(queued: Sequence[Row], own: Sequence[Row]) -> Row:
    """The measures of one user's day: calls answered in queues, and the user's own calls, which may be the same."""
    inbound = [call for call in own if call["direction"] == "inbound"]
    missed = [call for call in inbound if not call["is_answered"] and call["finished_at"]]
    active = [call for call in own if call not in missed]
    begun = [call["answered_at"] or call["entered_at"] for call in queued] + [call["started_at"] for call in active]
    ended = [call["finished_at"] or call["answered_at"] for call in queued] + [call["_ended_at"] for call in active]
    first, last = min(begun, default=None), max((end for end in ended if end), default=None)
    span = last - first if first and last else None
    on_call = covered([*filter(None, map(talking_span, queued)), *filter(None, map(conversation, own))])
    return {
        "queue_calls_answered_count": len(queued),
        "talk_total_seconds": sum(call["talk_seconds"] or 0 for call in queued),
        "average_speed_of_answer_seconds": mean([c["wait_seconds"] for c in queued if c["wait_seconds"] is not None]),
        "user_calls_inbound_count": len(inbound),
        "user_calls_outbound_count": len(own) - len(inbound),
        "missed_inbound_count": len(missed),
        "conversation_seconds": sum(call["conversation_seconds"] or 0 for call in own),
        "first_activity_at": first,
        "last_activity_at": last,
        "activity_span_seconds": span // SECOND if span is not None else None,
        "on_call_seconds": on_call // SECOND,
        "talk_share_rate": on_call / span if span else None,
    }


def conversation(call: Row) -> Span | None:
    """When a user talked in a call of their own: at its end, and never before it began."""
    if not call["is_answered"] or call["_ended_at"] is None:
        return None
    return max(call["started_at"], call["_ended_at"] - call["conversation_seconds"] * SECOND), call["_ended_at"]


def covered(spans: Iterable[Span]) -> timedelta:
    """The time that lies in at least one of the spans."""
    total, until = timedelta(), None
    for start, end in sorted(spans):
        if until is None or start > until:
            total, until = total + (end - start), end
        elif end > until:
            total, until = total + (end - until), end
    return total
