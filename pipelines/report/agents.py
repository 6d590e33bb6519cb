"""Agents, and callers to call back. If numbers are masked, the result holds no whole number."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pipelines.phone_numbers import mask_number
from pipelines.publish.reader import Query
from pipelines.report.figures import Cube
from pipelines.report.periods import Calendar, Period
from pipelines.report.queries import TOTAL, Marts, ask, list_spans, scope_key

AGENTS = 25  # rows per queue or account; one more row sums up the others
CALLBACKS = 500  # a longer list is of no use on a page; the mart has all
AGENT = ("answered_count", "wait_count", "wait_total_seconds", "talk_count", "talk_total_seconds")


def read_agents(marts: Marts, cube: Cube, periods: list[Period], calendar: Calendar) -> list[str]:
    """Add `agents` by period to the cube, busiest first. A name is an index into the list that is returned."""
    spans = {period.key: period.span for period in periods}
    values = list_spans(spans, dict.fromkeys(spans, calendar.loaded_at))
    names: dict[str, int] = {}
    found: dict[tuple[str, str], list[list[int]]] = defaultdict(list)
    # Users of one name in two accounts are two people, so the total lists both and adds nothing up.
    for row in replace(marts, has_total=False).ask("agents", periods=values, by=("period", "user_name"), sums=AGENT):
        is_queue = row["queue_name"] is not None
        name = row["user_name"] if is_queue or not marts.has_total else f"{row['user_name']} ({row['account']})"
        figures = [names.setdefault(name, len(names)), *(row[measure] for measure in AGENT)]
        for scope in (scope_key(row), *([] if is_queue or not marts.has_total else [TOTAL])):
            found[scope, row["period"]].append(figures)
    for (scope, period), agents in found.items():
        others = agents[AGENTS:]
        rest = [[-len(others), *(sum(column) for column in list(zip(*others, strict=True))[1:])]] if others else []
        cube[scope]["agents"][period] = agents[:AGENTS] + rest
    return list(names)


def read_callbacks(query: Query, *, show_numbers: bool) -> dict[str, Any]:
    """The callers to call back, one row per caller with their lost calls; the caller lost first comes first."""
    show: Callable[[str], str] = str if show_numbers else mask_number
    callers: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in ask(query, "open_calls"):
        callers[row["account"], row["caller_number"]].append(row)
    listed = [
        {
            "number": show(number),
            "account": account,
            "scopes": sorted({scope_key(call) for call in calls}),
            "queues": sorted({call["queue_name"] for call in calls}),
            "calls": len(calls),
            "first": calls[0]["entered_at_local"],
            "last": calls[-1]["entered_at_local"],
            "longest": max((call["wait_seconds"] for call in calls if call["wait_seconds"] is not None), default=None),
            "outcome": calls[-1]["outcome"],
        }
        for (account, number), calls in callers.items()
    ]
    return {"listed": listed[:CALLBACKS], "left_out": max(0, len(listed) - CALLBACKS), "shown": show_numbers}
