"""The promise against generated histories: latencies, failures, deaths, clock changes and reboots in any order.

The PBX is an adversary: a request reached it anywhere between leaving and its answer, wherever that does most harm.
A window can then hold every request whose span of possible arrivals touches it, which is counted by brute force.
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
from pipelines.budget.postgres import STAND_IN_SECONDS
from pipelines.errors import BudgetSpent
from tests.support.ledgers import Place, SetClock, set_clock_postgres, set_database_clock, stand_in

WINDOW = 10.0
LIMITS = Limits(requests=4, window_seconds=WINDOW, reserve_interactive=1)
SLOW_SERVER_WINDOW = WINDOW * 1.0009  # its clock may run slower than ours
LONGEST_WAIT = 2.01 * WINDOW  # a late arrival, then a window
SHARED_MEMORY = Path("/dev") / "shm"
IN_MEMORY = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None  # thousands of commits, no need of the disk


@dataclass
class Request:
    """One request as the adversary sees it: when it may have arrived."""

    row_id: int
    slot: AbstractContextManager[None]
    left_at: float
    arrived_by: float = inf
    judged_at: float = inf  # when its process died, or was taken for dead


@dataclass
class World:
    """A machine with two processes' budgets, the true time, and every request ever sent."""

    place: Place
    time: float = 0.0
    boots: int = 0
    sent: list[Request] = field(default_factory=list)
    under_way: list[Request] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)  # seconds, as each refusal told

    def __post_init__(self) -> None:
        self.budgets = [self.place.open(LIMITS) for _ in range(2)]

    @property
    def clock(self) -> SetClock:
        """The machine's."""
        return self.place.clock

    def wait(self, seconds: float) -> None:
        """Time passes; a request taken for dead by mistake ends within a window of that, as its time-outs see to."""
        for request in [one for one in self.under_way if one.judged_at + WINDOW < self.time + seconds]:
            self.under_way.remove(request)
            self.answer(request)
        self.time += seconds
        self.clock.advance(seconds)

    def send(self, count: int, sender: int, interactive: bool) -> None:
        """So many requests leave, or are refused."""
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
        """One of the requests under way ends in the manner of one of the methods below."""
        if self.under_way:
            getattr(self, ends)(self.under_way.pop(which % len(self.under_way)))

    def answer(self, request: Request) -> None:
        """Its answer is read."""
        request.slot.__exit__(None, None, None)
        request.arrived_by = self.time

    def fail(self, request: Request) -> None:
        """Its sender gives up; it may still arrive."""
        error = RuntimeError("no answer")
        assert not request.slot.__exit__(RuntimeError, error, None)
        request.arrived_by = self.time + WINDOW

    def kill(self, request: Request) -> None:
        """Its process dies and another has its pid; it may still arrive."""
        self._lose_holder(request)
        request.arrived_by = request.judged_at + WINDOW

    def misjudge(self, request: Request) -> None:
        """Its process is taken for dead, by mistake, and goes on."""
        self._lose_holder(request)
        self.under_way.append(request)

    def reboot(self, wall_shift: float) -> None:
        """The machine restarts: nothing is under way any more, as the system that would have sent it late is gone."""
        for request in self.under_way:
            self.kill(request)
        for request in self.sent:
            request.arrived_by = min(request.arrived_by, self.time)
        self.under_way.clear()
        self.boots += 1
        self.clock.reboot(f"boot {self.boots}", wall_shift)

    def block(self, seconds: float) -> None:
        """The PBX refuses one."""
        self.budgets[0].block(seconds)

    def set_wall(self, shift: float) -> None:
        """Somebody sets the clock."""
        self.clock.wall += shift

    def set_database(self, shift: float) -> None:
        """Somebody sets the clock of the database."""
        set_database_clock(shift)

    def fail_over(self, shift: float) -> None:
        """The database's stand-in takes over; every session ends, and what is under way goes on."""
        for request in self.under_way:
            self._lose_holder(request)
        stand_in(shift)

    def _lose_holder(self, request: Request) -> None:
        self.place.lose(request.row_id)
        request.judged_at = min(request.judged_at, self.time)


def worst_window(sent: list[Request]) -> int:
    """The most requests that one window of the PBX can have seen."""
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
    """Lives one history in a world of its own; then nothing may have been too much, and all must come free again."""
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
    """Lives one history on a ledger in a file."""
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
        live(Place(Path(folder) / "ledger.sqlite"), actions)


def claim_next_instant_is_exact(world: World) -> None:
    """With nothing under way a refusal's instant is the first one that works: not a millisecond before it."""
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
    """A strategy for calls of one of the world's methods."""
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
    """Within a boot, no latency, failure, death or change of the wall clock lets a window see too many."""
    live_in_a_file(actions)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(*LIFE, action("set_wall", BACK), action("reboot", BACK)), min_size=10, max_size=60))
def test_no_window_sees_too_many_across_boots(actions: list[tuple[str, tuple[object, ...]]]) -> None:
    """Across boots neither, as long as the wall clock is only ever set back."""
    live_in_a_file(actions)


HISTORIES_IN_POSTGRES = [
    *LIFE,
    action("set_wall", ANY_SHIFT),
    action("set_database", BACK),
    action("fail_over", st.one_of(BACK, st.floats(0, STAND_IN_SECONDS))),
]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.one_of(*HISTORIES_IN_POSTGRES), min_size=10, max_size=40))
def test_no_window_sees_too_many_in_postgres(actions: list[tuple[str, tuple[object, ...]]]) -> None:
    """On a shared ledger neither, whatever the hosts' clocks, as long as the database's is only ever set back, or a
    stand-in's is ahead by no more than is allowed for."""
    with set_clock_postgres() as place:
        live(place, actions)
