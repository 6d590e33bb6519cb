"""This machine's time and processes, for a ledger in a file.

How the age of a ledger entry is measured, whatever happens to the wall clock:
1. Within one boot only the uptime counts. It cannot be set, so changes of the wall clock have no effect.
2. Across a boot the wall clock counts. A stamp in its future has age 0.
3. Each writer restamps the entries of earlier boots with the present boot, so that from then on rule 1 applies.
"""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Instant:
    """One moment on two clocks: the wall clock, which can be set, and the uptime, which cannot."""

    wall: float  # Unix seconds
    uptime: float  # seconds since boot, including sleep if the system counts it
    boot: str  # identifies the boot that `uptime` belongs to

    def shifted(self, seconds: float) -> "Instant":
        """The instant `seconds` later (earlier, if negative)."""
        return Instant(self.wall + seconds, self.uptime + seconds, self.boot)

    def seconds_since(self, then: "Instant") -> float:
        """The age of `then` by the rules above; negative only for a stamp set in the future on purpose."""
        if then.boot == self.boot:
            return self.uptime - then.uptime
        return max(0.0, self.wall - then.wall)


MachineClock = Callable[[], Instant]


def read_clock() -> Instant:
    """The present instant on both clocks of this machine."""
    return Instant(time.time(), _uptime_seconds(), _boot())


def holder_of(pid: int) -> str | None:
    """A name for a running process, different from that of a later process with the same pid; None if it is dead."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:  # dead, but its parent has not read its exit status yet
            return None
        return f"{_boot()} {pid} {process.create_time()}"
    except psutil.Error:
        return None


def own_holder() -> str:
    """The name of the calling process. Not cached, because a fork changes it."""
    return holder_of(os.getpid()) or f"{_boot()} {os.getpid()} unseen"


def is_alive(holder: str) -> bool:
    """Whether the process with this name from `holder_of` still runs."""
    return holder_of(_pid(holder)) == holder


def is_own(holder: str) -> bool:
    """Whether the holder is the calling process and not its parent before a fork.

    The second word of a holder is the pid, in both kinds of ledger.
    """
    return _pid(holder) == os.getpid()


def _pid(holder: str) -> int:
    return int(holder.split()[1])


def _uptime_seconds() -> float:
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:  # not Linux; if a change of the wall clock changes this value, rule 2 applies
        return f"{psutil.boot_time():.0f}"
