"""The ledger in Postgres: its clock, its sessions, and failures during use."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from typing import Any

import pytest

from pipelines.budget import CLOCK_RATE_MARGIN, Budget, Limits
from pipelines.budget.postgres import STANDBY_SECONDS
from pipelines.errors import BudgetSpent, SettingsError, StoppedEarly
from tests.support.ledgers import (
    HOST,
    KEY,
    LIMITS,
    TAKE_LOCK,
    Place,
    SetClock,
    empty_postgres,
    execute,
    fail_over,
    held,
    postgres_url,
    set_clock_postgres,
    set_database_clock,
    spend,
    until,
)
from tests.support.postgres_server import server

HOLD = 100 * CLOCK_RATE_MARGIN
WAITING = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


@pytest.fixture
def url() -> str:
    """A database without a ledger."""
    return empty_postgres()


@pytest.fixture
def place() -> Iterator[Place]:
    """A new ledger, on clocks that the test sets."""
    empty_postgres()
    with set_clock_postgres() as found:
        yield found


def wait_for_rows(statement: str) -> list[tuple[Any, ...]]:
    """A statement's rows, as soon as there are any; fails after ten seconds."""
    deadline = time.monotonic() + 10
    while not (rows := execute(statement)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return rows


def test_clock_set_back_costs_the_time_between_two_looks(place: Place) -> None:
    """Setting the clock back, even twice, frees nothing early; the wait goes on from where the last look left it."""
    budget = place.open()
    spend(budget, 4)
    budget.block(60)
    place.clock.advance(40)
    until(budget)  # a look
    place.clock.advance(10)
    set_database_clock(-1e8)
    assert budget.usage().next_at == pytest.approx(place.clock.wall + HOLD - 40, abs=1e-3)
    until(budget)
    place.clock.advance(HOLD - 40 - 0.01)
    set_database_clock(-0.02)
    until(budget)
    place.clock.advance(HOLD - 40 + 0.01)
    spend(budget, 4)


def test_clock_set_back_shortens_no_block(place: Place) -> None:
    """A block after a 429 counts by the same clock."""
    budget = place.open()
    budget.block(60)
    set_database_clock(-1e4)
    place.clock.advance(60 * CLOCK_RATE_MARGIN - 0.01)
    until(budget, interactive=True)


@pytest.mark.parametrize("ahead", [STANDBY_SECONDS, -1e6])
def test_standby_frees_nothing_early(place: Place, ahead: float) -> None:
    """A standby that takes over with its clock a little ahead, or any time behind, only lengthens the wait."""
    budget = place.open()
    spend(budget, 4)
    place.clock.advance(HOLD - 1)
    until(budget)
    fail_over(ahead)
    assert 0.99 < budget.usage().next_at - place.clock.wall < 1.01 + STANDBY_SECONDS
    place.clock.advance(0.98)
    until(budget)
    place.clock.advance(0.04 + STANDBY_SECONDS)
    spend(budget, 4)


def test_clock_set_forward_counts_as_passed_time(place: Place) -> None:
    """A step forward counts as passed time, as the module's docstring says; the time after it counts correctly."""
    budget = place.open()
    spend(budget, 4)
    set_database_clock(60)
    assert until(budget) - place.clock.wall == pytest.approx(HOLD - 60, abs=1e-3)


@pytest.mark.parametrize("shift", [-7_200.0, 7_200.0])
def test_hosts_whose_clocks_differ_share_one_budget(place: Place, shift: float) -> None:
    """Two hosts whose clocks are hours apart share one window, and each gets the next instant in its own time."""
    here = place.clock
    there = SetClock(here.wall + shift, uptime=9.0, boot="of the other host")
    budget, other = place.open(), Budget(place.address, HOST, place.key, LIMITS, there)
    spend(budget, 2)
    here.advance(50)
    spend(other, 2)
    assert until(budget, interactive=False) == pytest.approx(here.wall + HOLD - 50, abs=1e-3)
    assert until(other, interactive=False) == pytest.approx(there.wall + HOLD - 50, abs=1e-3)
    other.block(70)
    assert until(budget, interactive=True) == pytest.approx(here.wall + 70 * CLOCK_RATE_MARGIN, abs=1e-3)


def test_keys_no_longer_used_go(place: Place) -> None:
    """Two days after its last request nothing is left of a key, even if only others are used; before, all counts."""
    old = place.open(Limits(window_seconds=86_400), key="old-key")
    spend(old, 3)
    place.clock.advance(86_480)
    place.open()
    assert old.usage().used == 3
    place.clock.advance(86_480)
    spend(place.open(), 1)
    assert execute("SELECT count(*) FROM calls_ledger.requests") == [(1,)]
    assert execute("SELECT count(*) FROM calls_ledger.accounts") == [(1,)]
    spend(old, 1)


def test_sessions_end_with_their_slots(url: str) -> None:
    """A slot holds one session and one lock while its request is under way, and neither afterwards."""
    budget = Budget(url, HOST, KEY, LIMITS)
    of_ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'calls'"
    with budget.slot(), budget.slot():
        assert execute(of_ours) == [(2,)]
    with pytest.raises(RuntimeError), budget.slot():
        raise RuntimeError
    spend(budget, 1)
    until(budget)
    budget.block(10)
    wait_for_rows(f"SELECT 1 WHERE ({of_ours}) = 0")
    assert execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]


def test_lost_session_is_no_answer_lost(place: Place) -> None:
    """A request whose session ends counts as a dead sender's until its answer comes; then it counts from the answer."""
    budget = place.open()
    with budget.slot():
        (row_id,) = place.under_way()
        place.lose(row_id)
        assert (budget.usage().used, budget.usage().in_flight) == (1, 0)
        spend(budget, 1)  # this request writes down the death
        place.clock.advance(99)
    place.clock.advance(HOLD - 0.01)
    assert budget.usage().used == 1
    place.clock.advance(0.02)
    assert budget.usage().used == 0


@pytest.mark.parametrize("ends", ["answered", "failed"])
def test_answer_after_its_entry_was_forgotten_counts(place: Place, ends: str) -> None:
    """A request that was taken for dead and forgotten counts again when it ends."""
    budget = place.open()
    slot = budget.slot()
    slot.__enter__()
    place.lose(*place.under_way())
    spend(budget, 1)
    place.clock.advance(3 * HOLD)
    spend(budget, 1)
    assert budget.usage().used == 1
    if ends == "answered":
        slot.__exit__(None, None, None)
    else:
        assert not slot.__exit__(RuntimeError, RuntimeError("no answer"), None)
    assert budget.usage().used == 2


def test_server_restarted_between_and_during_requests(url: str) -> None:
    """A restart of the server loses no request, ended or under way, and the next request gets its slot."""
    budget = Budget(url, HOST, KEY, LIMITS)
    spend(budget, 1)
    slots = [budget.slot(), budget.slot()]
    for slot in slots:
        slot.__enter__()
    server().stop()
    leave = partial(slots[0].__exit__, None, None, None)
    for wrong in (budget.usage, partial(spend, budget, 1), partial(budget.block, 10), leave):
        with pytest.raises(StoppedEarly, match="cannot be reached: no server runs there"):
            wrong()
    with pytest.raises(SettingsError, match="cannot be reached: no server runs there"):
        Budget(url, HOST, KEY, LIMITS)
    server().ensure_postgres_running()
    assert (budget.usage().used, budget.usage().in_flight) == (3, 0)
    slots[1].__exit__(None, None, None)
    spend(budget, 1)
    assert budget.usage().used == 4
    until(budget)


@pytest.mark.parametrize("at", ["lock", "write", "commit"])
def test_connection_lost_in_the_middle_of_a_reservation(url: str, at: str) -> None:
    """Wherever the connection breaks, nothing is sent, the error is a temporary one, and no slot is lost."""
    budget = Budget(url, HOST, KEY, LIMITS)
    blockers = {"lock": TAKE_LOCK, "write": "LOCK TABLE calls_ledger.requests IN SHARE MODE"}
    if at == "commit":
        execute(
            "CREATE FUNCTION calls_ledger.die() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END'"
        )
        execute(
            "CREATE CONSTRAINT TRIGGER die AFTER INSERT ON calls_ledger.requests DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION calls_ledger.die()"
        )
        with pytest.raises(StoppedEarly, match="broke off") as lost, budget.slot():
            raise AssertionError("sent")
        execute("DROP TRIGGER die ON calls_ledger.requests")
    else:
        with ThreadPoolExecutor(1) as pool, held(blockers[at]):
            sender = pool.submit(spend, budget, 1)
            execute("SELECT pg_terminate_backend(%s, 5000)", *wait_for_rows(WAITING)[0])
            with pytest.raises(StoppedEarly, match="broke off") as lost:
                sender.result()
    assert not isinstance(lost.value, BudgetSpent)
    assert budget.usage().used == 0
    spend(budget, 4)


@pytest.mark.usefixtures("url")
def test_waiting_for_the_lock_neither_frees_nor_hides_anything() -> None:
    """A caller that waited for another's reservation sees it, whatever the server's default isolation."""
    strict = postgres_url(options="&options=-cdefault_transaction_isolation%3Dserializable")
    budget = Budget(strict, HOST, KEY, LIMITS)
    spend(budget, 1)
    fill = (
        "INSERT INTO calls_ledger.requests SELECT n, account, '', NULL, seconds "
        "FROM calls_ledger.accounts, generate_series(1, 4) AS n"
    )
    with ThreadPoolExecutor(1) as pool, held(TAKE_LOCK) as other:
        sender = pool.submit(spend, budget, 1)
        wait_for_rows(WAITING)
        other.execute(fill)
        other.connection.commit()
        with pytest.raises(BudgetSpent):
            sender.result()


def test_time_is_read_after_the_lock(place: Place) -> None:
    """Slots freed during the wait for the lock are free, and an answer is not stamped with an earlier time."""
    budget = place.open()
    spend(budget, 4)
    lock = sha256(f"{HOST}\0{place.key}".encode()).digest()[:8]
    with ThreadPoolExecutor(1) as pool, held("SELECT pg_advisory_xact_lock(%s)", int.from_bytes(lock, signed=True)):
        sender = pool.submit(spend, budget, 1)
        wait_for_rows(WAITING)
        place.clock.advance(HOLD + 0.01)
    sender.result()
    assert budget.usage().used == 1


@pytest.mark.usefixtures("url")
def test_commits_are_durable_whatever_the_servers_defaults() -> None:
    """Each write waits for the disk, may write, and has no time-out, although the login's defaults say otherwise."""
    execute("DROP ROLE IF EXISTS hasty")
    execute("CREATE ROLE hasty SUPERUSER LOGIN")
    for default in ("synchronous_commit = off", "default_transaction_read_only = on", "statement_timeout = '1h'"):
        execute(f"ALTER ROLE hasty SET {default}")
    budget = Budget(postgres_url("hasty"), HOST, KEY, LIMITS)
    execute("CREATE TABLE calls_ledger.seen (name text, value text)")
    execute(
        "CREATE FUNCTION calls_ledger.see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "INSERT INTO calls_ledger.seen SELECT name, setting FROM pg_settings "
        "WHERE name IN ('synchronous_commit', 'statement_timeout'); RETURN NULL; END $$"
    )
    execute(
        "CREATE TRIGGER see AFTER INSERT OR UPDATE ON calls_ledger.requests "
        "FOR EACH ROW EXECUTE FUNCTION calls_ledger.see()"
    )
    spend(budget, 1)
    budget.block(5)
    seen = execute("SELECT name, value, count(*) FROM calls_ledger.seen GROUP BY name, value ORDER BY name")
    assert seen == [("statement_timeout", "0", 3), ("synchronous_commit", "on", 3)]
