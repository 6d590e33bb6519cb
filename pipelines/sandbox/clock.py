"""Time in the simulated PBX: a clock that may run fast, unfinished calls, and rows that appear late or vanish."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from pipelines.sandbox.responses import Instants, WireRow

STARTS, FINISHES = "call_start_at", "call_finished_at"
APPEARS, VANISHES = "_appears_at", "_vanishes_at"  # when a row enters and leaves the list; never sent
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)

PbxClock = Callable[[], datetime]


def running_clock(start: datetime, speed: float = 1.0, monotonic: Callable[[], float] = time.monotonic) -> PbxClock:
    """A clock that shows `start` now and runs `speed` times as fast as real time."""
    began = monotonic()
    return lambda: start + timedelta(seconds=(monotonic() - began) * speed)


def milliseconds(instant: datetime) -> int:
    """Milliseconds since 1970 in UTC, rounded down. Raises ValueError for an instant without a zone."""
    if instant.tzinfo is None:
        raise ValueError(f"{instant} needs a time zone")
    return (instant - EPOCH) // MILLISECOND


def as_datetimes(instants: Instants) -> list[datetime | None]:
    """UTC instants (datetime64[ms]) as aware datetimes; NaT becomes None."""
    naive: list[datetime | None] = instants.astype("datetime64[us]").tolist()
    return [value and value.replace(tzinfo=UTC) for value in naive]


def call_as_of(row: WireRow, at: datetime | None) -> WireRow:
    """The call as the PBX lists it at `at` (None: after all calls have ended).

    A call that has not ended has no end and no final status, and no answer yet if that comes later. Its durations are
    those up to `at`.
    """
    finish = row.get(FINISHES)
    if at is None or not isinstance(finish, datetime) or finish <= at:
        return row
    unfinished = row | {FINISHES: None}
    if "status" in row:
        unfinished["status"] = None
        answer = row.get("call_answered_at")
        if not isinstance(answer, datetime) or answer > at:
            unfinished |= {"call_answered_at": None, "answered_by_user_name": None}
        return unfinished
    start, spoken = row.get(STARTS), row.get("conversation_duration")
    if isinstance(start, datetime) and isinstance(spoken, int):
        spoken_so_far = at - (finish - timedelta(seconds=spoken))
        unfinished["call_duration"] = int((at - start).total_seconds())
        unfinished["conversation_duration"] = max(0, int(spoken_so_far.total_seconds()))
    return unfinished


def scatter(table: pa.Table, *, late: float, vanishing: float, within_seconds: float, seed: int = 0) -> pa.Table:
    """`table` with a share `late` of its rows appearing late and a share `vanishing` of them vanishing again.

    A late row appears at a random moment within `within_seconds` of its start; a row vanishes within as much of its
    appearance.
    """
    random = np.random.default_rng(seed)
    starts = table[STARTS].to_numpy().astype("datetime64[us]")
    is_late, leaves = (random.random(len(starts)) < share for share in (late, vanishing))
    first, second = ((random.random(len(starts)) * within_seconds * 1e6).astype("timedelta64[us]") for _ in range(2))
    appears = np.where(is_late, starts + first, starts)
    vanishes = np.where(leaves, appears + second, np.datetime64("NaT", "us"))
    instant = pa.timestamp("us", "UTC")
    return table.append_column(APPEARS, pa.array(appears, instant)).append_column(VANISHES, pa.array(vanishes, instant))
