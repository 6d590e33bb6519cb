"""Accounts side by side: each loads in a process of its own, so many at a time.

    account's process:  lock → read over the PBX → package on disk ┐
    this process:       holds DuckDB, restores and writes ←────────┘ asked through a pipe, one package after another

Postgres takes many writers, so there each process writes for itself. What happens to one process, even SIGKILL, is told
as that account's error and touches no other. Processes heed no signal: this one tells them to stop, and when it is gone
they find the pipe closed, so nobody is asked twice and none is left behind. Threads would share dlt's one context.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
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
Message = tuple[str, tuple[Any, ...]]


@dataclass(frozen=True)
class _Worker:
    account: str
    process: Any
    pipe: Connection


def load_side_by_side(
    accounts: list[Account], target: Target, options: LoadOptions, observer: Observer, jobs: int
) -> list[LoadResult]:
    """Loads up to `jobs` accounts at once, in their order, each with its own error. A signal leaves out the rest."""
    try:
        with open_for_writing(target):
            done = _Crew(target, options, observer, jobs).load(accounts)
    except CallsError as error:  # the warehouse is not to be had: no account can be loaded
        return [LoadResult(account.name, error=error) for account in accounts]
    return [done[account.name] for account in accounts if account.name in done]


class _Crew:
    """The processes under way, and what has come of those that ended."""

    def __init__(self, target: Target, options: LoadOptions, observer: Observer, jobs: int) -> None:
        self._target, self._wish, self._watcher, self._jobs = target, options, observer, jobs
        self._context: Any = multiprocessing.get_context(START_METHOD)
        self._workers: dict[Connection, _Worker] = {}
        self._done: dict[str, LoadResult] = {}

    def load(self, accounts: list[Account]) -> dict[str, LoadResult]:
        waiting, is_told = list(accounts), False
        if START_METHOD == "forkserver":
            self._context.set_forkserver_preload(PRELOADED)
        while waiting or self._workers:
            stopped = self._watcher.stop()
            if stopped and not is_told:
                waiting, is_told = [], True
                self._tell_all(stopped)
            while waiting and len(self._workers) < self._jobs:
                self._start(waiting.pop(0))
            for pipe in wait(list(self._workers), LOOK_SECONDS):
                self._hear(self._workers[pipe])  # type: ignore[index]  # only pipes are waited for
        return self._done

    def _start(self, account: Account) -> None:
        here, there = self._context.Pipe()
        surroundings = (dict(os.environ), Path.cwd())
        process = self._context.Process(
            target=_work, args=(there, account, self._target.engine, self._target.credentials, self._wish, surroundings)
        )
        process.start()
        there.close()
        self._workers[here] = _Worker(account.name, process, here)

    def _hear(self, worker: _Worker) -> None:
        try:
            name, details = worker.pipe.recv()
        except (EOFError, OSError):
            self._bury(worker)
            return
        if name == "done":
            self._done[worker.account] = details[0]
        elif name == "ask":
            self._send(worker, ("answer", (_try(details[0], worker.account, self._target),)))
        else:
            getattr(self._watcher, name)(*details)

    def _bury(self, worker: _Worker) -> None:
        worker.process.join()
        worker.pipe.close()
        del self._workers[worker.pipe]
        if worker.account not in self._done:
            self._done[worker.account] = LoadResult(worker.account, error=_ended(worker))

    def _tell_all(self, stopped: CallsError) -> None:
        for worker in self._workers.values():
            self._send(worker, ("stop", (stopped,)))

    def _send(self, worker: _Worker, message: Message) -> None:
        try:
            worker.pipe.send(message)
        except OSError:  # it has ended; `_hear` finds out
            return


def _try(step: Step, account: str, target: Target) -> CallsError | None:
    try:
        take_step(step, account, target)
    except CallsError as error:
        return error
    return None


def _ended(worker: _Worker) -> CallsError:
    code = worker.process.exitcode
    if code is None or code >= 0:
        return UnexpectedError(
            f"{worker.account}: the process that loaded this account ended by itself (exit code {code})."
        )
    how = signal.Signals(-code).name
    return Interrupted(
        f"{worker.account}: the process that loaded this account was ended from outside ({how}). What was loaded "
        "stands, and the next run reads the rest. Was memory short? Fewer --jobs need less."
    )


class _Line:
    """A process's end of its pipe: asks, tells, and hears whether to stop."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._stopped: CallsError | None = None

    def tell(self, name: str, *details: Any) -> None:
        """Sends a message; to nobody, if the other side is gone."""
        try:
            self._pipe.send((name, details))
        except OSError:
            self._leave()

    def ask(self, step: Step, _account: str) -> None:
        """Has the writer take a step, and waits for its end. Raises what it met."""
        self.tell("ask", step)
        while (heard := self._hear()) is not None and heard[0] != "answer":
            pass
        error = self._stopped if heard is None else heard[1][0]
        if error is not None:
            raise error

    def stopped(self) -> CallsError | None:
        """Why to stop, if so."""
        while self._stopped is None and self._pipe.poll():
            self._hear()
        return self._stopped

    def _hear(self) -> Message | None:
        try:
            message: Message = self._pipe.recv()
        except (EOFError, OSError):
            self._leave()
            return None
        if message[0] == "stop":
            self._stopped = message[1][0]
        return message

    def _leave(self) -> None:
        self._stopped = self._stopped or Interrupted("The run that this belongs to has ended.")


def _work(
    pipe: Connection,
    account: Account,
    engine: Any,
    credentials: str,
    options: LoadOptions,
    surroundings: tuple[Any, Path],
) -> None:
    """One account's load, in a process of its own."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.umask(0o077)
    os.environ.clear()
    os.environ.update(surroundings[0])
    os.chdir(surroundings[1])
    line = _Line(pipe)
    target = Target(engine, credentials)
    tell: Callable[[str], Callable[..., None]] = lambda name: partial(line.tell, name)  # noqa: E731
    observer = Observer(tell("on_page"), tell("on_wait"), tell("on_warning"), line.stopped)
    ask_writer = line.ask if engine == "duckdb" else None
    line.tell("done", load_account(account, target, options, observer, ask_writer=ask_writer))
