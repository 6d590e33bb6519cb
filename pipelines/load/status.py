"""What is loaded, what is missing, how fresh it is, and what the budget holds: per account, as plain data.

Answers while a load is running, too: then from this machine's copy of the state, because DuckDB lets nobody else open
the warehouse meanwhile.
"""

import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines.errors import WarehouseLocked
from pipelines.load.locks import find_running
from pipelines.load.pipeline import read_destination, read_local_state
from pipelines.voipcloud import read_lists
from pipelines.voipcloud.coverage import BEGINNING, DAY, Coverage, unread_ranges
from pipelines.voipcloud.list_state import ListState
from pipelines.voipcloud.schemas import ENDPOINTS
from pipelines.voipcloud.settings import Account
from pipelines.warehouse import Target


def describe_account(account: Account, target: Target) -> dict[str, Any]:
    """One account's status, ready for JSON: dates as `Y-m-d`, instants as ISO 8601 in UTC."""
    running = find_running(account.name)
    lists, source = _lists(account, target, is_running=running is not None)
    return {
        "account": account.name,
        "running": None if running is None else {"pid": running.pid, "since": _iso(running.since)},
        "as_of": source,
        "endpoints": {name: describe_endpoint(lists.get(name, ListState()), account) for name in ENDPOINTS},
        "budget": describe_budget(account),
    }


def describe_endpoint(stored: ListState, account: Account) -> dict[str, Any]:
    """One endpoint's coverage: `gaps` are days never read whole, with null for "any time" and both ends included.

    `unplaced` counts records without a start; it is null if the last read of the list has not come to its end.
    """
    coverage = stored.coverage
    days = sorted(coverage.counts)
    return {
        "first_day": days[0] if days else None,
        "last_day": days[-1] if days else None,
        "settled_until": _settled_until(coverage),
        "gaps": [
            {"from": None if low == BEGINNING else low.isoformat(), "to": (high - DAY).isoformat()}
            for low, high in unread_ranges(coverage, account.start_date, account.rules)
        ],
        "calls": sum([*coverage.counts.values(), *coverage.other_names.values()]) - sum(coverage.rejected.values()),
        "rejected": sum(coverage.rejected.values()),
        "unplaced": stored.unplaced_count,
        "unfinished": sum(coverage.unfinished.values()),
        "days_offered_less": dict(coverage.offered_less),
        "newest_call_at": coverage.newest_at,
        "loaded_at": coverage.read_at,
    }


def describe_budget(account: Account) -> dict[str, Any]:
    """The budget of the account's key: requests used and left, and when the next one may go."""
    usage = account.open_budget().usage()
    limits = account.limits
    return {
        "account": account.name,
        "host": account.host,
        **{**asdict(usage), "next_at": _iso(usage.next_at), "blocked_until": _iso(usage.blocked_until)},
        "wait_seconds": round(max(0.0, usage.next_at - time.time()), 1),
        "requests": limits.requests,
        "window_seconds": limits.window_seconds,
        "reserve_interactive": limits.reserve_interactive,
    }


def _lists(account: Account, target: Target, *, is_running: bool) -> tuple[Mapping[str, ListState], str]:
    if target.engine == "duckdb" and not target.path.exists():
        return {}, "nothing: there is no warehouse yet"
    if not is_running:
        with tempfile.TemporaryDirectory(prefix="calls-") as folder, suppress(WarehouseLocked):
            state = read_destination(account.name, target, Path(folder))
            return read_lists(state, account.name), "the warehouse"
    return read_lists(read_local_state(account.name), account.name), "this machine's last load"


def _settled_until(coverage: Coverage) -> str | None:
    return (coverage.settled.ranges[-1][1] - DAY).isoformat() if coverage.settled.ranges else None


def _iso(unix_seconds: float | None) -> str | None:
    return None if unix_seconds is None else datetime.fromtimestamp(unix_seconds, UTC).isoformat(timespec="seconds")
