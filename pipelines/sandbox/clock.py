"""A PBX in time: a clock that may run fast, calls that are still going on, rows that come late or go away."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from pipelines.sandbox.responses import Row

STARTS, FINISHES = "call_start_at", "call_finished_at"
APPEARS, VANISHES = "_appears_at", "_vanishes_at"  # when a row enters and leaves the list; never told

Clock = Callable[[], datetime]


def running_clock(start: datetime, speed: float = 1.0, monotonic: Callable[[], float] = time.monotonic) -> Clock:
    """A clock that shows `start` now and from then on runs `speed` times as fast as the wall's."""
    began = monotonic()
    return lambda: start + timedelta(seconds=(monotonic() - began) * speed)


def seen_at(row: Row, at: datetime | None) -> Row:
    """A call as the PBX tells it at `at` (None: when all is over).

    While it goes on it has no end, no final status and no answer that is yet to come; its durations are those so far.
    """
    finish = row.get(FINISHES)
    if at is None or not isinstance(finish, datetime) or finish <= at:
        return row
    seen = row | {FINISHES: None}
    if "status" in row:
        seen["status"] = None
        answer = row.get("call_answered_at")
        if not isinstance(answer, datetime) or answer > at:
            seen |= {"call_answered_at": None, "answered_by_user_name": None}
        return seen
    start, spoken = row.get(STARTS), row.get("conversation_duration")
    if isinstance(start, datetime) and isinstance(spoken, int):
        spoken_so_far = at - (finish - timedelta(seconds=spoken))
        seen["call_duration"] = int((at - start).total_seconds())
        seen["conversation_duration"] = max(0, int(spoken_so_far.total_seconds()))
    return seen


def scatter(table: pa.Table, *, late: float, vanishing: float, within_seconds: float, seed: int = 0) -> pa.Table:
    """`table`, of which a share `late` appears late and a share `vanishing` goes away again.

    Both happen at a random moment `within_seconds` of the start, or of the appearance.
    """
    random = np.random.default_rng(seed)
    starts = table[STARTS].to_numpy().astype("datetime64[us]")
    is_late, leaves = (random.random(len(starts)) < share for share in (late, vanishing))
    first, second = ((random.random(len(starts)) * within_seconds * 1e6).astype("timedelta64[us]") for _ in range(2))
    appears = np.where(is_late, starts + first, starts)
    vanishes = np.where(leaves, appears + second, np.datetime64("NaT", "us"))
    instant = pa.timestamp("us", "UTC")
    return table.append_column(APPEARS, pa.array(appears, instant)).append_column(VANISHES, pa.array(vanishes, instant))
