"""The definitions call by call, in plain Python: raw records → the rows of `queue_calls` and `user_calls`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

Row = dict[str, Any]
Raw = Mapping[str, list[Row]]

FINAL = ("answered", "abandoned", "timedout")
UNNAMED = "(unnamed)"  # the user of a call that names none
HIDDEN = {"", "anonymous", "private", "withheld", "unknown", "0"}
KIND = {"queue_calls": ("queue", "queue_name"), "ringgroup_calls": ("ring_group", "ring_group_name")}


@dataclass(frozen=True)
class Seeds:
    """The seed tables' rows, as their CSV files have them, every value a string."""

    queue_targets: list[dict[str, str]]
    opening_hours: list[dict[str, str]]
    holidays: list[dict[str, str]]


def zones(raw: Raw) -> dict[str, ZoneInfo]:
    """Each account's time zone."""
    return {row["account"]: ZoneInfo(row["timezone"]) for row in raw["accounts"]}


def is_hidden(number: str | None) -> bool:
    """Whether a caller's number tells nothing about who called."""
    return number is None or number.strip().lower() in HIDDEN


def whole_seconds(start: datetime | None, end: datetime | None) -> int | None:
    """The whole seconds between two instants, if both are known."""
    return None if start is None or end is None else (end - start) // timedelta(seconds=1)


def fitting(rows: Iterable[dict[str, str]], account: str, queue: str) -> list[dict[str, str]]:
    """The seed's rows for a queue: those that name it, before those for all queues of the account, before the rest."""
    best: dict[int, list[dict[str, str]]] = {}
    for row in rows:
        if row["account"] in (account, "*") and row["queue_name"] in (queue, "*"):
            best.setdefault(2 * (row["account"] != "*") + (row["queue_name"] != "*"), []).append(row)
    return best[max(best)] if best else []


def minute_of_day(text: str) -> int:
    """ "08:30" as minutes since midnight."""
    hours, minutes = text.split(":")
    return 60 * int(hours) + int(minutes)


class Rules:
    """What the seeds say of each queue, looked up once a queue."""

    def __init__(self, seeds: Seeds) -> None:
        self.seeds = seeds
        self.known: dict[tuple[str, str], tuple[int, int, dict[int, list[tuple[int, int]]]]] = {}
        self.closed = {(row["account"], date.fromisoformat(row["holiday_date"])) for row in seeds.holidays}

    def of(self, account: str, queue: str) -> tuple[int, int, dict[int, list[tuple[int, int]]]]:
        """Target and short-abandon cut in seconds; by ISO weekday the open spans in minutes of the day, half-open."""
        if (account, queue) not in self.known:
            target = fitting(self.seeds.queue_targets, account, queue)[0]
            spans: dict[int, list[tuple[int, int]]] = {}
            for weekday in range(1, 8):
                today = [row for row in self.seeds.opening_hours if row["weekday"] in (str(weekday), "*")]
                rows = fitting(today, account, queue)
                named = [row for row in rows if row["weekday"] != "*"] or rows
                spans[weekday] = [(minute_of_day(row["opens"]), minute_of_day(row["closes"])) for row in named]
            cut = int(target["short_abandon_seconds"])
            self.known[account, queue] = (int(target["target_seconds"]), cut, spans)
        return self.known[account, queue]

    def is_open(self, account: str, queue: str, local: datetime) -> bool:
        """Whether the queue was open at a local time."""
        if {(account, local.date()), ("*", local.date())} & self.closed:
            return False
        minute = 60 * local.hour + local.minute
        return any(low <= minute < high for low, high in self.of(account, queue)[2][local.isoweekday()])


def outcome_of(row: Row) -> str:
    """How a visit ended: the status if the article knows it, else `in_progress` or `other`."""
    status: str | None = row["status"]
    if status in FINAL:
        return str(status)
    return "in_progress" if row["call_finished_at"] is None else "other"


def queue_calls(raw: Raw, seeds: Seeds) -> list[Row]:
    """Every visit to a queue or ring group, in order of entry, with what the definitions say of it."""
    rules, zone = Rules(seeds), zones(raw)
    calls = [
        queue_call(row, kind, row[name], rules, zone[row["account"]])
        for endpoint, (kind, name) in KIND.items()
        for row in raw[endpoint]
    ]
    calls.sort(key=lambda call: call["entered_at"])
    mark_repeats(calls)
    return calls


def queue_call(row: Row, kind: str, queue: str, rules: Rules, zone: ZoneInfo) -> Row:
    """One visit; `is_repeat` is still to be found out."""
    entered, answered, finished = row["call_start_at"], row["call_answered_at"], row["call_finished_at"]
    outcome = outcome_of(row)
    wait = whole_seconds(entered, {"answered": answered, "in_progress": None}.get(outcome, finished))
    talk = whole_seconds(answered, finished) if outcome == "answered" else None
    target, cut, _ = rules.of(row["account"], queue)
    local = entered.astimezone(zone)
    hidden = is_hidden(row["callerid"])
    return {
        "account": row["account"],
        "queue_kind": kind,
        "queue_name": queue,
        "caller_number": None if hidden else row["callerid"],
        "inbound_number": row["inbound_number"],
        "entered_at": entered,
        "answered_at": answered,
        "finished_at": finished,
        "entered_at_local": local.replace(tzinfo=None),
        "local_date": local.date(),
        "outcome": outcome,
        "wait_seconds": wait,
        "talk_seconds": talk,
        "answered_by": row["answered_by_user_name"],
        "is_short_abandon": outcome == "abandoned" and wait is not None and wait <= cut,
        "is_within_target": outcome == "answered" and wait is not None and wait <= target,
        "is_anonymous": hidden,
        "is_in_hours": rules.is_open(row["account"], queue, local),
        "is_repeat": False,
        "_utc_offset": local.utcoffset(),
        "_is_left_in_time": outcome == "abandoned" and wait is not None and wait <= target,
    }


def mark_repeats(calls: list[Row]) -> None:
    """Marks the calls, given in order of entry, whose caller entered the same queue up to 24 hours before.

    Two calls of one instant are not a call and a call again.
    """
    entries: dict[tuple[str, ...], list[datetime]] = {}
    for call in calls:
        if not call["is_anonymous"]:
            key = (call["account"], call["queue_kind"], call["queue_name"], call["caller_number"])
            known, entered = entries.setdefault(key, []), call["entered_at"]
            if not known or known[-1] < entered:
                known.append(entered)
            call["is_repeat"] = len(known) > 1 and entered - known[-2] <= timedelta(hours=24)


def user_calls(raw: Raw) -> list[Row]:
    """Every call of a user, in order of start."""
    zone = zones(raw)
    calls = []
    for row in raw["user_calls"]:
        talk, length = row["conversation_duration"], row["call_duration"]
        local = row["call_start_at"].astimezone(zone[row["account"]])
        told_end = None if length is None else row["call_start_at"] + timedelta(seconds=length)
        calls.append(
            {
                "account": row["account"],
                "direction": "inbound" if row["is_inbound"] else "outbound",
                "caller_number": None if is_hidden(row["from_number"]) else row["from_number"],
                "called_number": row["to_number"],
                "user_name": row["user_name"] or UNNAMED,
                "started_at": row["call_start_at"],
                "finished_at": row["call_finished_at"],
                "_ended_at": row["call_finished_at"] or told_end,
                "ring_seconds": None if talk is None or length is None else max(length - talk, 0),
                "conversation_seconds": talk,
                "is_answered": bool(talk),
                "local_date": local.date(),
                "is_anonymous": is_hidden(row["from_number"]),
            }
        )
    calls.sort(key=lambda call: call["started_at"])
    return calls
