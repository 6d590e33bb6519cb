"""The budget's rules, on real ledgers of either kind, with clocks that the test sets."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pipelines.budget import CLOCK_RATE_MARGIN, Budget, Limits
from pipelines.errors import BudgetSpent, SettingsError
from tests.support.ledgers import ENGINES, HOST, Place, SetClock, empty_postgres, set_clock_postgres, spend, until

HOLD = 100 * CLOCK_RATE_MARGIN
LATE = 100.0  # an unanswered request may arrive so much later, with a window this short


@pytest.fixture(params=ENGINES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A new ledger of either kind, on clocks that the test sets."""
    if request.param == "sqlite":
        yield Place(tmp_path / "ledger.sqlite")
        return
    empty_postgres()
    with set_clock_postgres() as found:
        yield found


@pytest.fixture
def clock(place: Place) -> SetClock:
    """The clock of the test's own ledger."""
    return place.clock


@pytest.fixture
def budget(place: Place) -> Budget:
    """A new ledger: five requests in a hundred seconds, one of them for click-to-call."""
    return place.open()


def test_loads_leave_the_interactive_reserve(budget: Budget) -> None:
    """A load is refused while click-to-call may still send; click-to-call is refused at the PBX's limit."""
    spend(budget, 4)
    until(budget)
    spend(budget, 1, interactive=True)
    until(budget, interactive=True)


def test_reserve_is_kept_free_of_what_click_to_call_has_spent(budget: Budget) -> None:
    """Click-to-call's requests count against the loads' share too, so its reserve stays free for the next call."""
    spend(budget, 1, interactive=True)
    spend(budget, 3)
    until(budget)
    assert budget.usage().left_interactive == 1


def test_slot_counts_from_its_answer(budget: Budget, clock: SetClock) -> None:
    """The window starts when the answer comes, not when the slot is taken."""
    with budget.slot():
        clock.advance(60)
    spend(budget, 3)
    clock.advance(HOLD - 0.01)
    until(budget)
    clock.advance(0.02)
    spend(budget, 4)


def test_until_is_the_earliest_instant_a_slot_is_free(budget: Budget, clock: SetClock) -> None:
    """`until` is when this caller is served: a load also waits until the reserve for click-to-call is free."""
    for _ in range(5):
        spend(budget, 1, interactive=True)
        clock.advance(10)
    oldest = clock.wall - 50 + HOLD
    assert until(budget, interactive=True) == pytest.approx(oldest, abs=1e-3)
    assert until(budget) == pytest.approx(oldest + 10, abs=1e-3)
    clock.advance(HOLD - 50 - 0.01)
    until(budget, interactive=True)
    clock.advance(10)
    until(budget)
    clock.advance(0.02)
    spend(budget, 1)


def test_until_with_every_slot_under_way(budget: Budget, clock: SetClock) -> None:
    """A request under way cannot free its slot within one window, so `until` is the end of a window."""
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(budget.slot())
        assert until(budget) == pytest.approx(clock.wall + HOLD, abs=1e-3)
        assert budget.usage().in_flight == 4


@pytest.mark.parametrize("failure", [RuntimeError("no answer"), KeyboardInterrupt(), SystemExit(1)])
def test_failed_request_counts_longer(budget: Budget, clock: SetClock, failure: BaseException) -> None:
    """A request that ends by an exception may still arrive, so it counts longer; the exception is raised."""
    with pytest.raises(type(failure)), budget.slot():
        raise failure
    assert budget.usage().in_flight == 0
    clock.advance(HOLD + LATE - 0.01)
    assert budget.usage().used == 1
    clock.advance(0.02)
    assert budget.usage().used == 0


def test_dead_process_counts_from_when_it_is_noticed(budget: Budget, clock: SetClock, place: Place) -> None:
    """A dead process's request may still arrive after its death is noticed, so it counts longer."""
    slot = budget.slot()
    slot.__enter__()
    (row_id,) = place.under_way()
    place.lose(row_id)
    clock.advance(HOLD)
    assert (budget.usage().used, budget.usage().in_flight) == (1, 0)
    spend(budget, 1)  # this request writes down the death
    clock.advance(HOLD + 0.02)
    assert budget.usage().used == 1
    clock.advance(LATE - 0.03)
    assert budget.usage().used == 1
    clock.advance(0.02)
    assert budget.usage().used == 0


def test_usage_reports_the_state_of_the_budget(budget: Budget, clock: SetClock) -> None:
    """Used, left for each kind of caller, in flight, and the next instant: while the budget is spent, and later."""
    spend(budget, 3)
    with budget.slot():
        usage = budget.usage()
    assert (usage.used, usage.left, usage.left_interactive, usage.in_flight) == (4, 0, 1, 1)
    assert usage.next_at == pytest.approx(clock.wall + HOLD, abs=1e-3)
    assert usage.blocked_until is None
    clock.advance(HOLD + 1)
    usage = budget.usage()
    assert (usage.used, usage.left, usage.left_interactive, usage.next_at) == (0, 4, 5, clock.wall)


def test_block_refuses_everybody_and_is_never_shortened(budget: Budget, clock: SetClock, place: Place) -> None:
    """During a block nobody gets a slot; a later, shorter block changes nothing, and a longer one lengthens it."""
    other = place.open()
    budget.block(50)
    budget.block(20)
    ends = clock.wall + 50 * CLOCK_RATE_MARGIN
    assert until(other, interactive=True) == pytest.approx(ends, abs=1e-3)
    usage = other.usage()
    assert (usage.used, usage.left, usage.left_interactive) == (0, 0, 0)
    assert usage.blocked_until == pytest.approx(ends, abs=1e-3)
    other.block(70)
    clock.advance(60)
    until(budget)
    clock.advance(11)
    spend(budget, 4)


def test_absurd_retry_after_blocks_for_a_day_at_most(budget: Budget, clock: SetClock) -> None:
    """Whatever a header says, a block ends within a day; a block of no length is no block."""
    budget.block(0)
    spend(budget, 1)
    budget.block(float("inf"))
    assert until(budget) - clock.wall < 86_400 * 1.002


@pytest.mark.parametrize(("host", "key"), [(HOST, "another-key"), ("other.example", "")])
def test_other_keys_and_hosts_do_not_share(budget: Budget, place: Place, host: str, key: str) -> None:
    """Another key or another host in the same ledger has a budget and blocks of its own."""
    spend(budget, 4)
    budget.block(50)
    other = place.open(host=host, key=key)
    spend(other, 4)
    until(other)


def test_host_is_not_case_sensitive(budget: Budget, place: Place) -> None:
    """A host in capitals is the same host."""
    spend(budget, 4)
    until(place.open(host=HOST.upper()))


@pytest.mark.parametrize("shift", [-1e8, -3_600.0, 3_600.0, 1e8])
def test_wall_clock_moves_nothing_within_a_boot(budget: Budget, clock: SetClock, shift: float) -> None:
    """Setting the wall clock back or forward changes neither the wait for a slot nor that for a block's end."""
    spend(budget, 4)
    budget.block(HOLD)
    clock.wall += shift
    assert until(budget) == pytest.approx(clock.wall + HOLD * CLOCK_RATE_MARGIN, abs=1e-3)
    clock.advance(HOLD - 0.01)
    until(budget)
    clock.advance(0.2)
    spend(budget, 4)


def test_wall_clock_counts_across_a_boot(tmp_path: Path) -> None:
    """In a file: after a reboot the wait continues by the wall clock."""
    file = Place(tmp_path / "ledger.sqlite")
    budget, clock = file.open(), file.clock
    spend(budget, 4)
    clock.advance(60)
    clock.reboot("second")
    assert until(budget) == pytest.approx(clock.wall + HOLD - 60, abs=1e-3)
    clock.advance(HOLD - 60 - 0.01)
    until(budget)
    clock.advance(0.02)
    spend(budget, 4)


@pytest.mark.parametrize("back", [30.0, 1e9])
def test_wall_clock_gone_back_across_a_boot_costs_a_window_at_most(tmp_path: Path, back: float) -> None:
    """In a file: a stamp that lies in the future after a reboot counts one window from when it is first seen."""
    file = Place(tmp_path / "ledger.sqlite")
    budget, clock = file.open(), file.clock
    spend(budget, 4)
    budget.block(80)
    clock.reboot("second", wall_shift=-back)
    assert budget.usage().next_at == pytest.approx(clock.wall + HOLD, abs=1e-3)
    until(budget)
    clock.wall -= back  # and again: rule 1 applies since the first sight
    clock.advance(HOLD - 0.01)
    until(budget)
    clock.advance(0.02)
    spend(budget, 4)


@pytest.mark.parametrize(
    "limits",
    [
        {"requests": 0},
        {"window_seconds": 0},
        {"window_seconds": -1},
        {"window_seconds": float("nan")},
        {"window_seconds": float("inf")},
        {"reserve_interactive": -1},
        {"requests": 5, "reserve_interactive": 5},
    ],
)
def test_limits_that_cannot_be_kept_are_refused(limits: dict[str, int]) -> None:
    """The message names the setting of the wrong limit."""
    with pytest.raises(SettingsError, match=r"budget\.(requests|window_seconds|reserve_interactive) is "):
        Limits(**limits)


def test_refusal_says_what_and_when(budget: Budget) -> None:
    """The message holds the limit, the window and an instant; during a block it names the 429 instead."""
    spend(budget, 4)
    with pytest.raises(BudgetSpent, match=r"4 in 100 s .* \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"), budget.slot():
        pass
    budget.block(50)
    with pytest.raises(BudgetSpent, match=r"\(429\).* UTC"), budget.slot():
        pass
