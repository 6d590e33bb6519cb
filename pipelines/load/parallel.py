"""Accounts side by side: each loads in a process of its own, so many at a time.

    account's process:  lock → read over the PBX → package on disk ┐
    this process:       holds DuckDB, restores and writes ←────────┘ asked through a pipe, one package after another

Postgres takes many writers, so there each process writes for itself. What happens to one process, even SIGKILL, is that
account's error and touches no other. Processes ignore signals: this one tells them to stop, and if it is gone they find
the pipe closed, so that nobody is asked twice and none is left behind. Threads would share dlt's one context.
"""

import multiprocessing
import signal
import sys
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import Any

from pipelines.errors import CallsError, Interrupted, UnexpectedError
from pipelines.load.account import LoadOptions, LoadResult, Observer, load_account
from pipelines.load.pipeline import Step, take_step
from pipelines.voipcloud.settings import Account
from pipelines.warehouse import Target, open_for_writing

# Forked from one process that has imported it all, which takes milliseconds; forks are not safe everywhere.
START_METHOD = "forkserver" if sys.platform == "linux" else "spawn"
PRELOADED = ["pipelines.cli.main", "dlt.destinations.impl.duckdb.duck", "dlt.destinations.impl.postgres.postgres"]
LOOK_SECONDS = 0.2  # how often a signal is looked for


def load_side_by_side(
    accounts: list[Account], target: Target, options: LoadOptions, observer: Observer, jobs: int
) -> list[LoadResult]:
    """Loads up to `jobs` accounts at once, in their order, each with its own error. A signal leaves out the rest."""
    try:
        with open_for_writing(target):
            done = _Crew(target, options, observer).load(accounts, jobs)
    except CallsError as error:  # the warehouse is locked or cannot be opened: no account can be loaded
        return [LoadResult(account.name, error=error) for account in accounts]
    return [done[account.name] for account in accounts if account.name in done]


class _Crew:
    """The processes under way, named by their accounts, and the results of those that ended."""

    def __init__(self, target: Target, options: LoadOptions, observer: Observer) -> None:
        self._target, self._options, self._observer = target, options, observer
        self._context: Any = multiprocessing.get_context(START_METHOD)
        self._stopping = self._context.RawValue("b")  # without a lock, which a killed process could hold
        self._processes: dict[Any, Any] = {}  # by pipe
        self._done: dict[str, LoadResult] = {}

    def load(self, accounts: list[Account], jobs: int) -> dict[str, LoadResult]:
        waiting = list(accounts)
        if START_METHOD == "forkserver":
            self._context.set_forkserver_preload(PRELOADED)
        while waiting or self._processes:
            if self._observer.stop():
                waiting, self._stopping.value = [], True
            while waiting and len(self._processes) < jobs:
                self._start(waiting.pop(0))
            for pipe in wait(list(self._processes), LOOK_SECONDS):
                self._hear(pipe, self._processes[pipe])
        return self._done

    def _start(self, account: Account) -> None:
        here, there = self._context.Pipe()
        details = (there, self._stopping, account, self._target, self._options)
        process = self._context.Process(target=_work, args=details, name=account.name)
        process.start()
        there.close()
        self._processes[here] = process

    def _hear(self, pipe: Any, process: Any) -> None:
        try:
            name, *details = pipe.recv()
        except (EOFError, OSError):
            process.join()
            pipe.close()
            del self._processes[pipe]
            if process.name not in self._done:
                self._done[process.name] = LoadResult(process.name, error=_ended(process))
            return
        if name == "done":
            (result,) = details
            if isinstance(result.error, Interrupted):
                result.error = self._observer.stop()
            self._done[process.name] = result
        elif name == "ask":
            with suppress(OSError):  # it has ended, which the next message shows
                pipe.send(_try(details[0], process.name, self._target))
        else:
            getattr(self._observer, name)(*details)


def _try(step: Step, account: str, target: Target) -> CallsError | None:
    try:
        take_step(step, account, target)
    except CallsError as error:
        return error
    return None


def _ended(process: Any) -> CallsError:
    if process.exitcode >= 0:
        return UnexpectedError(
            f"{process.name}: the process that loaded this account ended by itself (exit code {process.exitcode})."
        )
    return Interrupted(
        f"{process.name}: the process that loaded this account was ended from outside "
        f"({signal.Signals(-process.exitcode).name}). What was loaded stands, and the next run reads the rest. Was "
        "memory short? Fewer --jobs need less."
    )


class _Line:
    """A process's end of its pipe: asks, reports, and knows whether to stop."""

    def __init__(self, pipe: Connection, stopping: Any) -> None:
        self._pipe, self._stopping = pipe, stopping
        self._is_alone = False

    def send(self, name: str, *details: Any) -> None:
        try:
            self._pipe.send((name, *details))
        except OSError:  # the other side is gone
            self._is_alone = True

    def ask(self, step: Step, _account: str) -> None:
        """Has the writer take a step, and waits for its end. Raises what it met."""
        self.send("ask", step)
        try:
            error: CallsError | None = self._pipe.recv()
        except (EOFError, OSError):
            self._is_alone = True
            error = self.stopped()
        if error is not None:
            raise error

    def stopped(self) -> CallsError | None:
        return (
            Interrupted("The run that this belongs to has ended.") if self._is_alone or self._stopping.value else None
        )


def _work(pipe: Connection, stopping: Any, account: Account, target: Target, options: LoadOptions) -> None:
    """One account's load, in a process of its own."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    line = _Line(pipe, stopping)
    on_page, on_wait, on_warning = (partial(line.send, name) for name in ("on_page", "on_wait", "on_warning"))
    observer = Observer(on_page, on_wait, on_warning, line.stopped)
    ask_writer = line.ask if target.engine == "duckdb" else None
    line.send("done", load_account(account, target, options, observer, ask_writer=ask_writer))
