"""The request budget: the PBX never sees more of our requests in one window than it allows.

A slot is reserved before its request leaves. It counts until one window after the answer. The request reaches the PBX
between these two instants, so the promise holds on the PBX's clock, for any latency and for every process that shares
the ledger. Proof: take the requests that arrive within one window, and of them the one reserved last. At its
reservation the others were unanswered, or answered less than a window ago. So all of them counted, and there was room.

A request without an answer (an exception, a dead process) may still be on its way through the network. Its window
starts `late_seconds` after the failure is noticed.

Data flow: `Budget` decides → `ledger` counts → `sqlite` (one machine; time: `clock`) or `postgres` (several hosts;
time: the database's clock; connections: `sessions`) stores.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipelines.budget.clock import MachineClock, read_clock
from pipelines.budget.ledger import DAY_SECONDS, Ledger, Spent, Storage
from pipelines.budget.postgres import PostgresStorage
from pipelines.budget.sessions import is_url
from pipelines.budget.sqlite import SqliteStorage
from pipelines.errors import BudgetSpent, CallsError, SettingsError

# Time services adjust a clock by at most 500 ppm, so the rates of two clocks differ by at most a thousandth.
CLOCK_RATE_MARGIN = 1.001
# Linux keeps sending a closed connection's unsent bytes for up to 102 s (tcp_orphan_retries).
LATEST_ARRIVAL_SECONDS = 120.0


@dataclass(frozen=True)
class Limits:
    """What the PBX allows one key. Raises `SettingsError` for values out of range."""

    requests: int = 100
    window_seconds: float = 900
    reserve_interactive: int = 5  # slots that loads leave free for click-to-call

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
        """Seconds for which a slot counts after its answer."""
        return self.window_seconds * CLOCK_RATE_MARGIN

    @property
    def late_seconds(self) -> float:
        """Seconds for which a request without an answer may still be under way."""
        return min(self.window_seconds, LATEST_ARRIVAL_SECONDS)

    def allowed(self, *, interactive: bool) -> int:
        """The number of requests that this kind of caller may have counting at once."""
        return self.requests if interactive else self.requests - self.reserve_interactive


@dataclass(frozen=True)
class Usage:
    """The state of the budget now."""

    used: int
    left: int  # for loads
    left_interactive: int
    next_at: float  # Unix seconds: when a load's next request may leave, at the earliest
    blocked_until: float | None  # Unix seconds; None if the PBX has not refused
    in_flight: int  # the part of `used` that is not answered yet


class Budget:
    """The budget of one key at one host. Safe to use from threads, from several processes and after a fork."""

    def __init__(
        self, ledger: Path | str, host: str, api_key: str, limits: Limits, clock: MachineClock = read_clock
    ) -> None:
        """Open or create the ledger: a file, or a Postgres URL. It stores a hash of host and key, never these.

        Raises `SettingsError` if the ledger cannot be used, `StoppedEarly` if it stays locked.
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
        """Hold the slot of one request: send it and read its whole answer inside the block.

        Raises `BudgetSpent` on entry if no slot is free; `next_free_seconds` explains its `until`. An exception inside
        the block means "no answer", so raise errors about an answer that did arrive after the block. Raises
        `SettingsError` or `StoppedEarly` if the ledger cannot be used; a slot already reserved then stays reserved.
        """
        allowed = self._limits.allowed(interactive=interactive)
        hold = self._limits.hold_seconds
        reserved, spent = self._ledger.reserve(lambda spent: next_free_seconds(spent, allowed, hold) <= 0)
        if reserved is None:
            raise _budget_spent(spent, allowed, self._limits)
        try:
            yield
        except BaseException:
            with suppress(CallsError):  # report the first error; a slot that is not settled stays reserved
                self._ledger.settle(reserved, answered=False)
            raise
        self._ledger.settle(reserved, answered=True)

    def block(self, seconds: float) -> None:
        """Give nobody a slot for `seconds` (at most a day), after a 429. Never shortens an earlier block."""
        if seconds > 0:
            self._ledger.block(min(seconds, DAY_SECONDS) * CLOCK_RATE_MARGIN)

    def usage(self) -> Usage:
        """Read the state of the budget, even while others write. Takes no slot and changes nothing."""
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
    """Seconds until a slot can be free for a caller who may have `allowed` of them counting; 0 if one is free now.

    When a request under way ends is unknown, but its slot cannot be free sooner than one hold from now. So the result
    is the earliest instant possible, and the caller asks again then.
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
        what += f" ({kept} more are kept for click-to-call)." if kept else "."
    return BudgetSpent(f"{what} The next request may leave at {at}; run again then.", until)
