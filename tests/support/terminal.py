"""`calls …` on a terminal of its own: what it shows is waited for, and then something is typed.

The processes are forks of a warm one, as in `night.py`.
"""

import multiprocessing
import os
import pty
import re
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from pipelines.cli.main import main
from tests.support.night import PRELOADED

LONGEST_SECONDS = 60.0


class Terminal:
    """The screen and keyboard of one command."""

    def __init__(self, process: ForkServerProcess, descriptor: int) -> None:
        self._process, self._descriptor = process, descriptor
        self._seen = 0
        self._shown = b""

    @property
    def screen(self) -> str:
        """All that was shown, without colours."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self._shown.decode(errors="replace")).replace("\r\n", "\n")

    def see(self, text: str) -> str:
        """Waits until `text` appears after what was seen before, and gives what was shown up to its end."""
        end = time.monotonic() + LONGEST_SECONDS
        while (found := self.screen.find(text, self._seen)) < 0:
            assert self._read(end), f"{text!r} never came: {self.screen[self._seen :]!r}"
        before, self._seen = self._seen, found + len(text)
        return self.screen[before : self._seen]

    def answer(self, question: str, typed: str) -> str:
        """Waits for a question, answers it, and gives what was shown up to it."""
        shown = self.see(question)
        self.type(f"{typed}\n")
        return shown

    def type(self, text: str) -> None:
        """Types."""
        os.write(self._descriptor, text.encode())

    def end(self) -> int:
        """Waits for the end of the command, and gives its exit code."""
        end = time.monotonic() + LONGEST_SECONDS
        while self._read(end):
            pass
        self._process.join(LONGEST_SECONDS)
        assert self._process.exitcode is not None
        return self._process.exitcode

    def _read(self, until: float) -> bool:
        """Reads what there is to be read; false when the command has ended and all is read, or time is up."""
        waited_for = [self._descriptor, self._process.sentinel]
        ready, _, _ = select.select(waited_for, [], [], max(0.0, until - time.monotonic()))
        if self._descriptor not in ready:
            return False
        self._shown += os.read(self._descriptor, 65_536)
        return True


@contextmanager
def terminal(folder: Path, *arguments: str, **settings: str) -> Iterator[Terminal]:
    """Starts `calls …` in a folder; further settings as environment variables. It is gone afterwards."""
    ours, theirs = pty.openpty()
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(PRELOADED)
    environment = os.environ | {"TERM": "xterm"} | settings
    process = server.Process(target=_live, args=(os.ttyname(theirs), arguments, folder, environment), daemon=True)
    process.start()
    try:
        yield Terminal(process, ours)
    finally:
        process.kill()
        process.join()
        os.close(theirs)
        os.close(ours)


def _live(name: str, arguments: tuple[str, ...], folder: Path, environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    os.login_tty(os.open(name, os.O_RDWR))  # its own, or hidden questions would be asked where pytest runs
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit that it is ignored
    sys.stdin = os.fdopen(0)
    sys.argv = ["calls", *arguments]
    main()
