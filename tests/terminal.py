"""`calls …` on a terminal of its own: what it shows is waited for, and then something is typed."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import CALLS

# The terminal has to be the process's own, or hidden questions would be asked on the one pytest runs on.
TAKE_IT = "import os, sys; os.login_tty(0); os.execv(sys.argv[1], sys.argv[1:])"
LONGEST_SECONDS = 60.0


class Terminal:
    """The screen and keyboard of one command."""

    def __init__(self, process: "subprocess.Popen[bytes]", descriptor: int) -> None:
        self._process, self._descriptor = process, descriptor
        self._seen = 0
        self.screen = ""

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
        return self._process.wait(LONGEST_SECONDS)

    def _read(self, until: float) -> bool:
        ready, _, _ = select.select([self._descriptor], [], [], max(0.0, until - time.monotonic()))
        try:
            new = os.read(self._descriptor, 65_536) if ready else b""
        except OSError:  # the other end has closed
            new = b""
        self.screen += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", new.decode(errors="replace")).replace("\r\n", "\n")
        return bool(new)


@contextmanager
def terminal(folder: Path, *arguments: str, **settings: str) -> Iterator[Terminal]:
    """Starts `calls …` in a folder; further settings as environment variables. It is gone afterwards."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", TAKE_IT, sys.executable, CALLS, *arguments]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "200"} | settings
    process = subprocess.Popen(command, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
