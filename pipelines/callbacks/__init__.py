"""Whom to call back: callers who hung up before anybody answered, and whom nobody has reached since.

The list comes from the readers' copy, so it is as fresh as the last load: a caller who was called back after it is
still on the list. There is one entry per caller, the first lost on top: their time (`recovery_hours`) runs out first.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml  # type: ignore[import-untyped]  # ships no types

from pipelines.errors import UsageError, did_you_mean
from pipelines.publish.reader import STALE_AFTER, Query, Row
from pipelines.transform import PROJECT

OPEN = """
select account, caller_number, queue_name, entered_at, entered_at_local, wait_seconds, lost_at
from marts.lost_calls
where is_open
order by entered_at, queue_call_id
"""
# User calls show whether somebody was called back, so the list is as fresh as the endpoint loaded longest ago.
FRESHNESS = "select account, min(last_load_at) as loaded_at from marts.load_health group by account order by account"
QUEUES = "select distinct account, queue_name from marts.queue_days"


@dataclass(frozen=True)
class Caller:
    """One caller on one PBX. `tries` counts the open calls; `waited_seconds` is the longest wait among them."""

    account: str
    number: str
    queues: tuple[str, ...]
    tries: int
    first_at: datetime
    first_local: datetime
    last_at: datetime
    last_local: datetime
    waited_seconds: int | None
    closes_at: datetime  # when the first of the calls counts as lost for good

    def seconds_left(self, now: datetime) -> int:
        """Whole seconds until `closes_at`; negative after it."""
        return int((self.closes_at - now).total_seconds())


@dataclass(frozen=True)
class Callbacks:
    """The list, cut at a limit; `left_out` callers are beyond it."""

    callers: tuple[Caller, ...]
    left_out: int
    run_out: int  # calls that were open at the load, and whose time has run out since
    loaded_at: dict[str, datetime]  # by account

    def stale(self, now: datetime) -> list[str]:
        """The accounts whose part of the list is more than a day old."""
        return [name for name, at in self.loaded_at.items() if now - at > STALE_AFTER]


def recovery_time() -> timedelta:
    """How long a lost caller may be called back: the variable `recovery_hours` of the models."""
    project: Any = yaml.safe_load((PROJECT / "dbt_project.yml").read_text(encoding="utf-8"))
    return timedelta(hours=float(project["vars"]["recovery_hours"]))


def read_lost(
    query: Query, accounts: tuple[str, ...], queues: tuple[str, ...], limit: int | None, now: datetime
) -> Callbacks:
    """The list for these accounts and queues; () is all. Raises `UsageError` for an unknown name."""
    loaded_at = {row["account"]: row["loaded_at"].astimezone(UTC) for row in query(FRESHNESS)}
    _check_names("account", accounts, set(loaded_at))
    loaded_at = {name: at for name, at in loaded_at.items() if not accounts or name in accounts}
    if queues:
        _check_names("queue", queues, {row["queue_name"] for row in query(QUEUES) if row["account"] in loaded_at})
    allowed = recovery_time()
    lost = [row for row in query(OPEN) if row["account"] in loaded_at and (not queues or row["queue_name"] in queues)]
    still = [row for row in lost if row["lost_at"] + allowed > now]
    callers = _group_by_caller(still, allowed)
    listed = callers[:limit]
    return Callbacks(tuple(listed), len(callers) - len(listed), len(lost) - len(still), loaded_at)


def _group_by_caller(lost: list[Row], allowed: timedelta) -> list[Caller]:
    calls: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in lost:
        calls[row["account"], row["caller_number"]].append(row)
    callers = [_make_caller(*key, rows, allowed) for key, rows in calls.items()]
    return sorted(callers, key=lambda caller: (caller.closes_at, caller.first_at, caller.account, caller.number))


def _make_caller(account: str, number: str, calls: list[Row], allowed: timedelta) -> Caller:
    waits = [row["wait_seconds"] for row in calls if row["wait_seconds"] is not None]
    first, last = calls[0], calls[-1]
    return Caller(
        account=account,
        number=number,
        queues=tuple(dict.fromkeys(row["queue_name"] for row in calls)),
        tries=len(calls),
        first_at=first["entered_at"].astimezone(UTC),
        first_local=first["entered_at_local"],
        last_at=last["entered_at"].astimezone(UTC),
        last_local=last["entered_at_local"],
        waited_seconds=max(waits, default=None),
        closes_at=min(row["lost_at"] for row in calls).astimezone(UTC) + allowed,
    )


def _check_names(what: str, wanted: tuple[str, ...], known: set[str]) -> None:
    for name in wanted:
        if name not in known:
            names = ", ".join(sorted(known)) or "none"
            raise UsageError(f"The published copy has no {what} '{name}'{did_you_mean(name, known)} It has: {names}.")
