"""Agents, and callers to call back. A number that is masked is not in what this gives."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from pipelines.client import mask_number
from pipelines.report.figures import Cube, Scope, scope_key
from pipelines.report.marts import Query
from pipelines.report.periods import Period

AGENTS = 25  # so many of a queue's or account's are listed, the others together in one row
CALLBACKS = 500  # beyond this a page is no list to work from; the mart has all
AGENT = ("answered_count", "wait_count", "wait_total_seconds", "talk_count", "talk_total_seconds")
AGENTS_SQL = """
with periods (period, first_date, last_date) as (values {periods}), days as (
    select account, queue_kind, queue_name, coalesce(answered_by, '(unnamed)') as user_name, local_date,
        count(*) as answered_count,
        count(wait_seconds) as wait_count, coalesce(sum(wait_seconds), 0) as wait_total_seconds,
        count(talk_seconds) as talk_count, coalesce(sum(talk_seconds), 0) as talk_total_seconds
    from marts.queue_calls
    where outcome = 'answered'
    group by account, queue_kind, queue_name, coalesce(answered_by, '(unnamed)'), local_date
)
select period, account, queue_kind, queue_name, user_name, {sums}
from days inner join periods on local_date between first_date and last_date
group by grouping sets (
    (period, account, user_name), (period, account, queue_kind, queue_name, user_name)
)
order by answered_count desc, user_name"""
OPEN_SQL = """
select account, caller_number, queue_kind, queue_name, outcome, entered_at_local, wait_seconds
from marts.lost_calls where is_open order by entered_at, queue_name"""


def read_agents(query: Query, cube: Cube, scopes: list[Scope], periods: list[Period]) -> list[str]:
    """Puts `agents` by period into the cube, the busiest first, a name as its place in the list this gives."""
    spans = [(period.key, period.span.first, period.span.last) for period in periods]
    values = ", ".join(f"('{key}', date '{first}', date '{last}')" for key, first, last in spans)
    sums = ", ".join(f"cast(sum({name}) as bigint) as {name}" for name in AGENT)
    names: dict[str, int] = {}
    rows: dict[tuple[str, str], list[list[int]]] = defaultdict(list)
    several = any(scope.account is None for scope in scopes)
    for row in query(AGENTS_SQL.format(periods=values, sums=sums)):
        name = f"{row['user_name']} ({row['account']})" if several and row["queue_name"] is None else row["user_name"]
        figures = [names.setdefault(name, len(names)), *(row[measure] for measure in AGENT)]
        rows[scope_key(row), row["period"]].append(figures)
        if several and row["queue_name"] is None:
            rows["*", row["period"]].append(figures)
    for (scope, period), agents in rows.items():
        shown, others = agents[:AGENTS], agents[AGENTS:]
        if others:
            shown.append([-len(others), *(sum(column) for column in list(zip(*others, strict=True))[1:])])
        cube[scope]["agents"][period] = shown
    return list(names)


def read_callbacks(query: Query, *, show_numbers: bool) -> dict[str, Any]:
    """Callers still to be called back, who was lost first on top, one row a caller: what, when and where."""
    show: Callable[[str], str] = str if show_numbers else mask_number
    callers: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in query(OPEN_SQL):
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
