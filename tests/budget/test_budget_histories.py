"""The promise under generated histories: latencies, failures, deaths, clock changes and reboots in any order.

The PBX is an adversary: a request arrives between its departure and its answer, at the instant that does most harm.
So a window can hold every request whose span of possible arrivals touches it; brute force counts these.
"""

import tempfile
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.budget import CLOCK_RATE_MARGIN, Limits
from pipelines.budget.postgres import STANDBY_SECONDS
from pipelines.errors import BudgetSpent
from tests.support.ledgers import Place, SetClock, fail_over, set_clock_postgres, set_database_clock

WINDOW = 10.0
LIMITS = Limits(requests=4, window_seconds=WINDOW, reserve_interactive=1)
SLOW_SERVER_WINDOW = WINDOW * 1.0009  # its clock may run slower than ours
LONGEST_WAIT = 2.01 * WINDOW  # a late arrival, and then one window
SHARED_MEMORY = Path("/dev") / "shm"
IN_MEMORY = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None  # thousands of commits that need no disk


@dataclass
class Request:
    """One request with the span in which it may have arrived."""

    row_id: int
    slot: AbstractContextManager[None]
    left_at: float
    arrived_by: float = inf
    judged_at: float = inf  # when its process died, or was wrongly taken for dead


@dataclass
class World:
    """A machine with the budgets of two processes, the true time, and all requests sent."""

    place: Place
    time: float = 0.0
    boots: int = 0
    sent: list[Request] = field(default_factory=list)
    under_way: list[Request] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)  # seconds until each refusal's `until`

    def __post_init__(self) -> None:
        self.budgets = [self.place.open(LIMITS) for _ in range(2)]

    @property
    def clock(self) -> SetClock:
        """The machine's clock."""
        return self.place.clock

    def wait(self, seconds: float) -> None:
        """Let time pass. A request wrongly taken for dead ends within one window, as the client's time-outs ensure."""
        for request in [one for one in self.under_way if one.judged_at + WINDOW < self.time + seconds]:
            self.under_way.remove(request)
            self.answer(request)
        self.time += seconds
        self.clock.advance(seconds)

    def send(self, count: int, sender: int, interactive: bool) -> None:
        """Send `count` requests, or meet as many refusals."""
        for _ in range(count):
            self._send_one(sender, interactive)

    def _send_one(self, sender: int, interactive: bool) -> None:
        slot = self.budgets[sender].slot(interactive=interactive)
        try:
            slot.__enter__()
        except BudgetSpent as refusal:
            self.waits.append(refusal.until - self.clock.wall)
            return
        (row_id,) = self.place.under_way() - {request.row_id for request in self.sent}
        request = Request(row_id, slot, self.time)
        self.sent.append(request)
        self.under_way.append(request)

    def finish(self, which: int, ends: str) -> None:
        """End one of the requests under way by one of the methods below."""
        if self.under_way:
            getattr(self, ends)(self.under_way.pop(which % len(self.under_way)))

    def answer(self, request: Request) -> None:
        """Read its answer."""
        request.slot.__exit__(None, None, None)
        request.arrived_by = self.time

    def fail(self, request: Request) -> None:
        """Let its sender give up; the request may still arrive."""
        error = RuntimeError("no answer")
        assert not request.slot.__exit__(RuntimeError, error, None)
        request.arrived_by = self.time + WINDOW

    def kill(self, request: Request) -> None:
        """Kill its process and give the pid to another; the request may still arrive."""
        self._lose_holder(request)
        request.arrived_by = request.judged_at + WINDOW

    def misjudge(self, request: Request) -> None:
        """Let its process look dead although it goes on."""
        self._lose_holder(request)
        self.under_way.append(request)

    def reboot(self, wall_shift: float) -> None:
        """Restart the machine. Nothing stays under way, because the system that could send it late has stopped."""
        for request in self.under_way:
            self.kill(request)
        for request in self.sent:
            request.arrived_by = min(request.arrived_by, self.time)
        self.under_way.clear()
        self.boots += 1
        self.clock.reboot(f"boot {self.boots}", wall_shift)

    def block(self, seconds: float) -> None:
        """Let the PBX refuse a request."""
        self.budgets[0].block(seconds)

    def set_wall(self, shift: float) -> None:
        """Set the machine's wall clock."""
        self.clock.wall += shift

    def set_database(self, shift: float) -> None:
        """Set the database's clock."""
        set_database_clock(shift)

    def fail_over(self, shift: float) -> None:
        """Let the database's standby take over: every session ends, and requests under way go on."""
        for request in self.under_way:
            self._lose_holder(request)
        fail_over(shift)

    def _lose_holder(self, request: Request) -> None:
        self.place.lose(request.row_id)
        request.judged_at = min(request.judged_at, self.time)


def worst_window(sent: list[Request]) -> int:
    """The largest number of requests that the PBX can have seen in one window."""
    return max(
        (
            sum(
                one.left_at <= first.arrived_by + SLOW_SERVER_WINDOW and one.arrived_by >= first.arrived_by
                for one in sent
            )
            for first in sent
        ),
        default=0,
    )


def live(place: Place, actions: list[tuple[str, tuple[object, ...]]]) -> None:
    """Run one history in a new world. No window may see too many requests, and every slot must become free again."""
    world = World(place)
    for name, arguments in actions:
        getattr(world, name)(*arguments)
        assert worst_window(world.sent) <= LIMITS.requests
    while world.under_way:
        world.answer(world.under_way.pop())
    claim_next_instant_is_exact(world)
    assert all(0 <= wait < LONGEST_WAIT for wait in world.waits)
    assert worst_window(world.sent) <= LIMITS.requests


def live_in_a_file(actions: list[tuple[str, tuple[object, ...]]]) -> None:
    """Run one history on a ledger in a file."""
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
        live(Place(Path(folder) / "ledger.sqlite"), actions)


def claim_next_instant_is_exact(world: World) -> None:
    """With nothing under way, a refusal's instant is the first that works: a millisecond before it fails."""
    for _ in range(2 * LIMITS.requests):
        try:
            with world.budgets[0].slot(interactive=True):
                continue
        except BudgetSpent as refusal:
            world.wait(refusal.until - world.clock.wall - 1e-3)
        with pytest.raises(BudgetSpent), world.budgets[1].slot(interactive=True):
            pass
        world.wait(2e-3)
        with world.budgets[1].slot(interactive=True):
            pass


def action(name: str, *arguments: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[str, tuple[object, ...]]]:
    """A strategy for calls of one method of the world."""
    return st.tuples(st.just(name), st.tuples(*arguments))


SECONDS = st.one_of(st.floats(0, 3), st.floats(WINDOW, WINDOW + 1), st.just(WINDOW * CLOCK_RATE_MARGIN))
BURST = action("send", st.integers(1, LIMITS.requests), st.integers(0, 1), st.booleans())
ENDS = action("finish", st.integers(0, 9), st.sampled_from(["answer", "fail", "kill", "misjudge"]))
LIFE = [BURST, BURST, ENDS, ENDS, action("wait", SECONDS), action("block", st.floats(0.5, 15))]
ANY_SHIFT = st.floats(-1e6, 1e6)
BACK = st.one_of(st.just(0.0), st.floats(-1e6, 0))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(*LIFE, action("set_wall", ANY_SHIFT)), min_size=10, max_size=60))
def test_no_window_sees_too_many_whatever_the_clock(actions: list[tuple[str, tuple[object, ...]]]) -> None:
    """Within a boot, no latency, failure, death or change of the wall clock lets a window see too many requests."""
    live_in_a_file(actions)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(*LIFE, action("set_wall", BACK), action("reboot", BACK)), min_size=10, max_size=60))
def test_no_window_sees_too_many_across_boots(actions: list[tuple[str, tuple[object, ...]]]) -> None:
    """Nor do reboots, as long as the wall clock is only set back."""
    live_in_a_file(actions)


HISTORIES_IN_POSTGRES = [
    *LIFE,
    action("set_wall", ANY_SHIFT),
    action("set_database", BACK),
    action("fail_over", st.one_of(BACK, st.floats(0, STANDBY_SECONDS))),
]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.one_of(*HISTORIES_IN_POSTGRES), min_size=10, max_size=40))
def test_no_window_sees_too_many_in_postgres(actions: list[tuple[str, tuple[object, ...]]]) -> None:
    """Nor does a shared ledger, whatever the hosts' clocks show, as long as the database's clock is only set back and
    a standby's is ahead by at most `STANDBY_SECONDS`."""
    with set_clock_postgres() as place:
        live(place, actions)
