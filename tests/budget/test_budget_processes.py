"""The promise with real processes over real HTTP, against a server that counts requests as they arrive.

The processes run this very file: `python -m tests.budget.test_budget_processes <job> <ledger> <arguments>`.
"""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pipelines.budget import Budget, Limits
from pipelines.errors import BudgetSpent
from tests.support.ledgers import ENGINES, empty_postgres

LIMITS = Limits(requests=20, window_seconds=2, reserve_interactive=0)
HOST, KEY = "127.0.0.1", "a-key-that-nobody-has"


class CountingServer(ThreadingHTTPServer):
    """Allows 20 arrivals in any 2 s. A request takes up to half a second to arrive and as long to be answered."""

    daemon_threads = True
    request_queue_size = 100

    def __init__(self) -> None:
        super().__init__((HOST, 0), CountingHandler)
        self.arrivals: list[float] = []
        self.refused = 0
        self.seen = 0  # sent, but perhaps not arrived yet
        self.slowest_seconds = 0.5
        self.lock = threading.Lock()

    def admit(self) -> bool:
        """Count one arrival as the PBX does: refuse it if the window before it is full."""
        with self.lock:
            now = time.monotonic()
            self.arrivals.append(now)
            full = sum(then > now - LIMITS.window_seconds for then in self.arrivals) > LIMITS.requests
            self.refused += full
            return not full

    def worst_window(self) -> int:
        """The largest number of arrivals in any window, both ends included."""
        with self.lock:
            times = sorted(self.arrivals)
        return max(sum(first <= one <= first + LIMITS.window_seconds for one in times) for first in times)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that were killed."""


class CountingHandler(BaseHTTPRequestHandler):
    """Answers any GET with 200 or 429, after a random time before and after the arrival."""

    server: CountingServer

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.seen += 1
        time.sleep(random.uniform(0, self.server.slowest_seconds))
        status = 200 if self.server.admit() else 429
        time.sleep(random.uniform(0, self.server.slowest_seconds))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


@pytest.fixture
def server() -> Iterator[CountingServer]:
    """A server of its own for each test."""
    with CountingServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(params=ENGINES)
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address for a new ledger of either kind."""
    return str(tmp_path / "ledger.sqlite") if request.param == "sqlite" else empty_postgres()


@pytest.fixture
def start(ledger: str) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start this file's jobs as processes on one ledger; kill them when the test ends."""
    started: list[subprocess.Popen[str]] = []

    def start(job: str, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", __name__, job, ledger, *map(str, arguments)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def result(process: subprocess.Popen[str]) -> Any:
    """The output of a job that must end with 0."""
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return json.loads(output)


def wait_for(condition: Callable[[], bool]) -> None:
    """Return as soon as the condition holds; fail after ten seconds."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_four_processes_never_see_a_429(server: CountingServer, start: Callable[..., subprocess.Popen[str]]) -> None:
    """Four processes with four threads each send 64 requests as fast as the budget allows; none is refused."""
    senders = [start("send", server.server_port, 16, 4) for _ in range(4)]
    assert [result(sender) for sender in senders] == [{"200": 16}] * 4
    assert len(server.arrivals) == 64
    assert server.refused == 0
    assert server.worst_window() <= 20


def test_killed_process_leaves_the_promise_intact(
    server: CountingServer, start: Callable[..., subprocess.Popen[str]], ledger: str
) -> None:
    """Requests still on their way when their process is killed keep their slots until they have arrived."""
    server.slowest_seconds = 1.0
    doomed = start("send", server.server_port, 20, 20)
    wait_for(lambda: server.seen >= 15)
    doomed.kill()
    assert len(server.arrivals) <= server.seen - 5
    budget = Budget(ledger, HOST, KEY, LIMITS)
    wait_for(lambda: budget.usage().in_flight == 0)
    assert budget.usage().used >= 15
    server.slowest_seconds = 0.2
    others = [start("send", server.server_port, 15, 5) for _ in range(2)]
    assert [result(other) for other in others] == [{"200": 15}] * 2
    assert server.refused == 0
    assert server.worst_window() <= 20


def test_half_spent_budget_of_an_earlier_run_is_respected(
    server: CountingServer, start: Callable[..., subprocess.Popen[str]], ledger: str
) -> None:
    """Requests that one process spent before it ended count in the next process's window."""
    assert result(start("send", server.server_port, 8, 8)) == {"200": 8}
    assert Budget(ledger, HOST, KEY, LIMITS).usage().left == 12
    assert result(start("send", server.server_port, 20, 20)) == {"200": 20}
    assert server.refused == 0
    assert server.worst_window() <= 20


def test_after_a_foreign_429_every_process_waits(
    server: CountingServer, start: Callable[..., subprocess.Popen[str]], ledger: str
) -> None:
    """During a block no process sends anything; after it all go on."""
    server.slowest_seconds = 0.05
    budget = Budget(ledger, HOST, KEY, LIMITS)
    senders = [start("send", server.server_port, 15, 1) for _ in range(2)]
    wait_for(lambda: len(server.arrivals) >= 5)
    budget.block(2.0)
    blocked_at = time.monotonic()
    assert budget.usage().left_interactive == 0
    assert [result(sender) for sender in senders] == [{"200": 15}] * 2
    under_way_seconds = 1.0  # a sender that had its slot before the block may still have been on a busy machine
    in_block = [one for one in server.arrivals if blocked_at + under_way_seconds < one < blocked_at + 1.95]
    assert in_block == []
    assert max(server.arrivals) > blocked_at + 1.95


def test_racing_processes_take_no_more_than_there_is(start: Callable[..., subprocess.Popen[str]]) -> None:
    """Four processes with two threads each race for five slots of each of fifteen budgets and get five of each."""
    racers = [start("race", 15) for _ in range(4)]
    grants = [result(racer) for racer in racers]
    assert [sum(counts) for counts in zip(*grants, strict=True)] == [5] * 15


def test_first_processes_make_one_ledger(
    start: Callable[..., subprocess.Popen[str]], ledger: str, tmp_path: Path
) -> None:
    """Processes that all start without a ledger create one together and lose no request."""
    racers = [start("race", 1) for _ in range(6)]
    assert sum(result(racer)[0] for racer in racers) == 5
    made = [] if "://" in ledger else [Path(ledger), Path(f"{ledger}-journal")]
    assert sorted(tmp_path.iterdir()) == made


def test_fork_inside_a_slot_leaves_it_to_the_parent(start: Callable[..., subprocess.Popen[str]]) -> None:
    """A child forked during a request does not settle it by leaving the block, and can send requests of its own."""
    assert result(start("fork")) == {
        "under way after the child": 1,
        "used after the child": 2,
        "under way at the end": 0,
    }


def test_child_of_a_dead_process_does_not_keep_its_request_alive(
    start: Callable[..., subprocess.Popen[str]], ledger: str
) -> None:
    """The death of a process with a request under way is noticed, even if a forked child lives on."""
    doomed = start("orphan")
    assert doomed.stdout is not None
    child = int(doomed.stdout.readline())
    budget = Budget(ledger, HOST, KEY, LIMITS)
    assert (budget.usage().used, budget.usage().in_flight) == (1, 1)
    doomed.kill()
    wait_for(lambda: budget.usage().in_flight == 0)
    assert budget.usage().used == 1
    os.kill(child, signal.SIGKILL)


def send(ledger: str, port: int, count: int, threads: int) -> dict[str, int]:
    """Send `count` requests, each as soon as the budget allows it; count the answers by status."""
    budget = Budget(ledger, HOST, KEY, LIMITS)

    def fetch(_: int) -> str:
        while True:
            try:
                with budget.slot():
                    connection = HTTPConnection(HOST, port, timeout=20)
                    connection.request("GET", "/")
                    status = connection.getresponse().status
                    connection.close()
                return str(status)
            except BudgetSpent as refusal:
                time.sleep(max(0.0, refusal.until - time.time()))

    with ThreadPoolExecutor(threads) as pool:
        statuses = list(pool.map(fetch, range(count)))
    return {status: statuses.count(status) for status in sorted(set(statuses))}


def race(ledger: str, budgets: int) -> list[int]:
    """Take all slots it can get from budgets of five slots, with two threads; count them by budget."""

    def take(budget: Budget) -> int:
        taken = 0
        with suppress(BudgetSpent):
            while True:
                with budget.slot():
                    taken += 1
        return taken

    counts = []
    with ThreadPoolExecutor(2) as pool:
        for number in range(budgets):
            budget = Budget(ledger, HOST, f"key {number}", Limits(requests=5, reserve_interactive=0))
            counts.append(sum(pool.map(take, [budget, budget])))
    return counts


def fork(ledger: str) -> dict[str, int]:
    """Fork inside a slot; the child leaves it and takes one of its own."""
    budget = Budget(ledger, HOST, KEY, LIMITS)
    with budget.slot():
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            usage = budget.usage()
    if not child:
        with budget.slot():
            os._exit(0)
    return {
        "under way after the child": usage.in_flight,
        "used after the child": usage.used,
        "under way at the end": budget.usage().in_flight,
    }


def orphan(ledger: str) -> None:
    """Fork inside a slot and print the child's pid; both processes then wait to be killed."""
    with Budget(ledger, HOST, KEY, LIMITS).slot():
        child = os.fork()
        if child:
            sys.stdout.write(f"{child}\n")
            sys.stdout.flush()
        time.sleep(60)


if __name__ == "__main__":
    job, address, *numbers = sys.argv[1:]
    jobs: dict[str, Callable[..., object]] = {"send": send, "race": race, "fork": fork, "orphan": orphan}
    sys.stdout.write(json.dumps(jobs[job](address, *map(int, numbers))))
