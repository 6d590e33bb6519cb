"""Nights that go wrong: `calls` in processes of their own, forked from a warm one, that can be killed at any step.

A step is what can be seen from outside the code under test: a file is changed, a socket connected, a statement sent to
DuckDB. Python's audit hooks and a wrapper around `execute` see them, so a kill strikes at the same place each time.
"""

import itertools
import multiprocessing
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import duckdb

from pipelines.cli.main import main
from tests.support.site import Ran, Site

# What a run imports, so that each is a fork of a process that has it all.
PRELOADED = ["pipelines.cli.main", "pipelines.load.status", "dlt.destinations.impl.duckdb.duck"]
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate"}
LONGEST_SECONDS = 120.0
Before = Callable[[], None]


def nothing() -> None:
    """No preparation."""


@dataclass(frozen=True)
class Started:
    """`calls …` under way; its output goes to files in `folder`."""

    process: ForkServerProcess
    folder: Path

    @property
    def pid(self) -> int:
        """The process's id."""
        return self.process.pid or 0

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Sends it a signal, if it is still there."""
        if self.process.is_alive():
            os.kill(self.pid, number)

    def end(self) -> Ran:
        """Waits for its end. The code is negative, the signal's number, if one ended it."""
        self.process.join(LONGEST_SECONDS)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
            raise AssertionError(f"calls did not end within {LONGEST_SECONDS:.0f} s: {self.said('err')}")
        return Ran(self.process.exitcode, self.said("out"), self.said("err"))

    def said(self, stream: str) -> str:
        """What it has written so far, to "out" or "err"."""
        return (self.folder / stream).read_text()


numbers = itertools.count(1)


def start(site: Site, *arguments: str, before: Before = nothing, typed: str = "", **settings: str) -> Started:
    """Starts `calls …` with the site's settings; further ones as environment variables.

    `before` is done in the new process first; `typed` is its standard input.
    """
    folder = site.folder / "said" / str(next(numbers))
    folder.mkdir(parents=True)
    (folder / "in").write_text(typed)
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(PRELOADED)
    process = server.Process(
        target=_live, args=(arguments, site.folder, folder, {**os.environ, **settings}, before), daemon=True
    )
    process.start()
    return Started(process, folder)


def run(site: Site, *arguments: str, **options: Any) -> Ran:
    """The same, to its end."""
    return start(site, *arguments, **options).end()


def _live(arguments: tuple[str, ...], home: Path, said: Path, environment: dict[str, str], before: Before) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(home)
    for number, (name, flags) in enumerate((("in", os.O_RDONLY), ("out", os.O_WRONLY), ("err", os.O_WRONLY))):
        os.dup2(os.open(said / name, flags | os.O_CREAT, 0o600), number)
    sys.stdin = os.fdopen(0)
    sys.argv = ["calls", *arguments]
    before()
    main()


def watch_steps(see: Callable[[str], None]) -> None:
    """Calls `see` with each step of this process from now on, before it is done."""
    home = str(Path(os.environ["CALLS_HOME"]))
    execute = duckdb.DuckDBPyConnection.execute

    def watched(connection: Any, statement: Any, *rest: Any, **named: Any) -> Any:
        see(f"sql {statement}")
        return execute(connection, statement, *rest, **named)

    def hook(event: str, details: tuple[Any, ...]) -> None:
        if event == "socket.connect":
            see(f"connect {details[1]}")
        elif (event in CHANGES or (event == "open" and details[2] & WRITING)) and home in str(details[:2]):
            see(f"{event} {' '.join(str(part).replace(home, '') for part in details[:2])}")

    duckdb.DuckDBPyConnection.execute = watched  # type: ignore[method-assign, assignment]  # for the steps alone
    sys.addaudithook(hook)


@dataclass
class Log:
    """Writes each step on a line of a file."""

    path: Path
    handle: int = field(default=-1)

    def __call__(self) -> None:
        self.handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        watch_steps(lambda step: _write(self.handle, step))

    def steps(self) -> list[str]:
        """The steps of the run that has ended."""
        return self.path.read_text().splitlines()


def _write(handle: int, step: str) -> None:
    os.write(handle, (step.replace("\n", " ") + "\n").encode())


def die_at(pattern: str, nth: int = 1, after_seconds: float = 0.0) -> Before:
    """A `before` that ends the process by SIGKILL at the n-th step that matches, or so many seconds into it."""
    return partial(_die_at, pattern, nth, after_seconds)


def _die_at(pattern: str, nth: int, after_seconds: float) -> None:
    seen = itertools.count(1)

    def see(step: str) -> None:
        if re.search(pattern, step) and next(seen) == nth:
            if after_seconds:
                signal.setitimer(signal.ITIMER_REAL, after_seconds)  # nobody handles SIGALRM
            else:
                os.kill(os.getpid(), signal.SIGKILL)
                time.sleep(60)

    watch_steps(see)
