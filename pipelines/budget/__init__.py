"""The request budget: in no window does the PBX see more requests of ours than it allows.

A slot is reserved before its request leaves and counts until one window after its answer came. The request reached
the PBX somewhere between the two, so the promise holds on the PBX's clock, whatever the latency, for every process
that shares the ledger. Proof: of the requests that arrive within one window, take the one reserved last. The others
were by then unanswered, or answered less than a window ago, so all of them were counted, and there was room.

A request that had no answer (an exception, a process that died) may still be under way in the network, so its window
starts `late_seconds` after that was noticed. What the clock is, and what a change of it does: `machine.py` for a ledger
in a file, `ledger_postgres.py` for one that several hosts share.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipelines.budget.clock import Clock, read_clock
from pipelines.budget.ledger import DAY_SECONDS, Ledger, Spent, Storage
from pipelines.budget.postgres import PostgresStorage
from pipelines.budget.sessions import is_url
from pipelines.budget.sqlite import SqliteStorage
from pipelines.errors import BudgetSpent, CallsError, SettingsError

# Two clocks, each slewed by the 500 ppm that time services allow themselves, differ by a thousandth.
CLOCK_RATE_MARGIN = 1.001
# Linux goes on sending a closed connection's unsent bytes for 102 s (tcp_orphan_retries).
LATEST_ARRIVAL_SECONDS = 120.0


@dataclass(frozen=True)
class Limits:
    """What the PBX allows one key. Raises `SettingsError` for values that cannot be kept."""

    requests: int = 100
    window_seconds: float = 900
    reserve_interactive: int = 5  # loads leave so many free, for click-to-call

    def __post_init__(self) -> None:
        if self.requests < 1:
            raise SettingsError(f"budget.requests is {self.requests}; it must be at least 1.")
        if not 0 < self.window_seconds <= DAY_SECONDS:
            raise SettingsError(
                f"budget.window_seconds is {self.window_seconds}; "
                f"it must be more than 0 and at most {DAY_SECONDS:.0f} (a day)."
            )
        if not 0 <= self.reserve_interactive < self.requests:
            raise SettingsError(
                f"budget.reserve_interactive is {self.reserve_interactive}; "
                f"it must be from 0 to {self.requests - 1}, fewer than budget.requests."
            )

    @property
    def hold_seconds(self) -> float:
        """How long a slot counts after its answer."""
        return self.window_seconds * CLOCK_RATE_MARGIN

    @property
    def late_seconds(self) -> float:
        """How long a request without an answer may still be under way."""
        return min(self.window_seconds, LATEST_ARRIVAL_SECONDS)

    def allowed(self, *, interactive: bool) -> int:
        """How many requests may count at once for this kind of caller."""
        return self.requests if interactive else self.requests - self.reserve_interactive


@dataclass(frozen=True)
class Usage:
    """Where the budget stands."""

    used: int
    left: int  # for loads
    left_interactive: int
    next_at: float  # Unix seconds: the earliest a load's next request may go
    blocked_until: float | None  # Unix seconds; None when the PBX has not refused
    in_flight: int  # of `used`, those not answered yet


class Budget:
    """One key's budget at one host. Safe to use from threads, from other processes and after a fork."""

    def __init__(self, ledger: Path | str, host: str, api_key: str, limits: Limits, clock: Clock = read_clock) -> None:
        """Opens or makes the ledger, a file or a Postgres URL; keeps a hash of host and key only.

        Raises `SettingsError`, or `StoppedEarly` where the ledger stays locked.
        """
        account = hashlib.sha256(f"{host.lower()}\0{api_key}".encode()).hexdigest()
        hold = limits.hold_seconds
        storage: Storage
        if isinstance(ledger, str) and is_url(ledger):
            storage = PostgresStorage(ledger, account, clock)
        else:
            storage = SqliteStorage(Path(ledger).absolute(), hold, clock)
        self._limits = limits
        self._ledger = Ledger(storage, account, hold, limits.late_seconds)
        storage.prepare()

    def __repr__(self) -> str:
        return f"Budget({self._limits})"

    @contextmanager
    def slot(self, *, interactive: bool = False) -> Iterator[None]:
        """Holds one request's slot: send it and read its whole answer inside.

        Raises `BudgetSpent` when none is free, before anything is sent; see `next_free_seconds` for its `until`.
        Leaving by an exception counts as "no answer", so raise for an answer you did get after the block.
        Raises `SettingsError` or `StoppedEarly` when the ledger cannot be used; the slot then stays taken.
        """
        allowed = self._limits.allowed(interactive=interactive)
        hold = self._limits.hold_seconds
        reserved, spent = self._ledger.reserve(lambda spent: next_free_seconds(spent, allowed, hold) <= 0)
        if reserved is None:
            raise _budget_spent(spent, allowed, self._limits)
        try:
            yield
        except BaseException:
            with suppress(CallsError):  # the first trouble is the one to tell; unsettled, the slot stays taken
                self._ledger.settle(reserved, answered=False)
            raise
        self._ledger.settle(reserved, answered=True)

    def block(self, seconds: float) -> None:
        """After a 429: nobody gets a slot for so long (a day at most). Never shortens a block."""
        if seconds > 0:
            self._ledger.block(min(seconds, DAY_SECONDS) * CLOCK_RATE_MARGIN)

    def usage(self) -> Usage:
        """Reads where the budget stands, also while others write. Takes no slot and changes nothing."""
        spent = self._ledger.read()
        limits = self._limits
        used = len(spent.ages) + spent.in_flight
        blocked = spent.block_left > 0
        wait = next_free_seconds(spent, limits.allowed(interactive=False), limits.hold_seconds)
        return Usage(
            used=used,
            left=0 if blocked else max(0, limits.allowed(interactive=False) - used),
            left_interactive=0 if blocked else max(0, limits.requests - used),
            next_at=spent.now.wall + wait,
            blocked_until=spent.now.wall + spent.block_left if blocked else None,
            in_flight=spent.in_flight,
        )


def next_free_seconds(spent: Spent, allowed: int, hold_seconds: float) -> float:
    """Seconds until a caller that may see `allowed` slots taken can have one; 0 when one is free now.

    A request under way ends nobody knows when, but cannot free its slot sooner than one whole hold from now; so
    the result is the earliest instant possible, and the caller asks again then.
    """
    left = sorted([hold_seconds - age for age in spent.ages] + [hold_seconds] * spent.in_flight)
    excess = len(left) - allowed
    return max(spent.block_left, left[excess] if excess >= 0 else 0.0)


def _budget_spent(spent: Spent, allowed: int, limits: Limits) -> BudgetSpent:
    until = spent.now.wall + next_free_seconds(spent, allowed, limits.hold_seconds)
    at = datetime.fromtimestamp(until, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    if spent.block_left > 0:
        what = "The PBX has refused further requests (429), so something else may be using this key."
    else:
        kept = limits.requests - allowed
        what = f"The request budget is spent: {allowed} in {limits.window_seconds:g} s"
        what += f" (the other {kept} are kept for click-to-call)." if kept else "."
    return BudgetSpent(f"{what} The next request may leave at {at}; run again then.", until)
