"""The marts that follow a caller, in plain Python: lost calls and what became of them, and journeys."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from tests.support.marts_truth.calls import Row
from tests.support.marts_truth.queues import Key, grouped

RECOVERY = timedelta(hours=72)
LINK = timedelta(seconds=10)
Contact = tuple[datetime, str]  # when it began, how the caller was reached


def lost_calls(calls: Iterable[Row], user_calls: Iterable[Row], loaded_at: dict[str, datetime]) -> list[Row]:
    """Abandoned and timed-out calls of known callers, each with the first contact of the next 72 hours.

    `loaded_at`: each account's last load; a call still lost is open until 72 hours have passed by then.
    """
    reached = contacts(calls, user_calls)
    rows = []
    for call in calls:
        if call["outcome"] not in ("abandoned", "timedout") or call["is_anonymous"]:
            continue
        lost_at = call["finished_at"] or call["entered_at"]
        found = reached.get((call["account"], call["caller_number"]), [])
        place = bisect_left(found, (lost_at, ""))
        at, how = found[place] if place < len(found) and found[place][0] - lost_at <= RECOVERY else (None, None)
        copied = {name: call[name] for name in COPIED}
        rows.append(
            copied
            | {
                "recovered_by": how,
                "recovered_at": at,
                "seconds_to_recovery": None if at is None else (at - lost_at) // timedelta(seconds=1),
                "is_open": at is None and loaded_at[call["account"]] - lost_at <= RECOVERY,
            }
        )
    return rows


COPIED = (
    "account",
    "queue_kind",
    "queue_name",
    "caller_number",
    "inbound_number",
    "entered_at",
    "local_date",
    "outcome",
    "wait_seconds",
)


def contacts(calls: Iterable[Row], user_calls: Iterable[Row]) -> dict[Key, list[Contact]]:
    """By account and number, in order, the calls that reached somebody; of two at once a callback comes first."""
    found: dict[Key, list[Contact]] = {}
    for call in calls:
        if call["outcome"] == "answered":
            note(found, call["account"], call["caller_number"], (call["entered_at"], "called_again"))
    for call in user_calls:
        if call["is_answered"]:
            outbound = call["direction"] == "outbound"
            number = call["called_number"] if outbound else call["caller_number"]
            note(found, call["account"], number, (call["started_at"], "callback" if outbound else "called_again"))
    for known in found.values():
        known.sort()
    return found


def note(found: dict[Key, list[Contact]], account: str, number: str | None, contact: Contact) -> None:
    """Keeps a contact with a number."""
    if number is not None:
        found.setdefault((account, number), []).append(contact)


def caller_journeys(calls: Iterable[Row]) -> list[Row]:
    """A row for each passage of a known caller through the queues behind one inbound number."""
    known = [call for call in calls if not call["is_anonymous"]]
    by_line = grouped(known, lambda call: (call["account"], call["caller_number"], call["inbound_number"]))
    return [told(visits) for line in by_line.values() for visits in journeys(line)]


def journeys(visits: list[Row]) -> Iterator[list[Row]]:
    """Visits of one caller on one inbound number, each beginning at the end of the one before or up to 10 s later.

    Visits that overlap are calls beside each other, and no passage from one queue to the next.
    """
    visits = sorted(visits, key=lambda call: call["entered_at"])
    linked: list[Row] = []
    for visit in visits:
        end = linked[-1]["finished_at"] if linked else None
        if linked and (end is None or not timedelta() <= visit["entered_at"] - end <= LINK):
            yield linked
            linked = []
        linked.append(visit)
    if linked:
        yield linked


def told(visits: list[Row]) -> Row:
    """One journey."""
    first, last = visits[0], visits[-1]
    return {
        "account": first["account"],
        "caller_number": first["caller_number"],
        "inbound_number": first["inbound_number"],
        "started_at": first["entered_at"],
        "local_date": first["local_date"],
        "first_queue_kind": first["queue_kind"],
        "first_queue_name": first["queue_name"],
        "last_queue_kind": last["queue_kind"],
        "last_queue_name": last["queue_name"],
        "visits_count": len(visits),
        "wait_total_seconds": sum(visit["wait_seconds"] or 0 for visit in visits),
        "final_outcome": last["outcome"],
    }
