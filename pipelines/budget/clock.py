"""What this machine knows about time and about its processes: the ground under `budget.py`.

The rule for ages, whatever is done to the clock:
1. Within one boot only the time since boot counts. Nobody can set it, so the wall clock may jump as it likes.
2. Across a boot the wall clock counts, and a stamp that lies in its future has age 0.
3. Whoever writes restamps such a row on the present boot, so from the first sight of it rule 1 bounds the wait.
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
    """One moment, on a clock that can be set and on one that cannot."""

    wall: float  # Unix seconds
    uptime: float  # seconds since boot, sleep included where the system counts it
    boot: str  # names the boot that `uptime` belongs to

    def shifted(self, seconds: float) -> "Instant":
        """The instant so many seconds later (earlier, if negative)."""
        return Instant(self.wall + seconds, self.uptime + seconds, self.boot)

    def seconds_since(self, then: "Instant") -> float:
        """Age of `then` by the rule above; negative only for a stamp put into the future on purpose."""
        if then.boot == self.boot:
            return self.uptime - then.uptime
        return max(0.0, self.wall - then.wall)


Clock = Callable[[], Instant]


def read_clock() -> Instant:
    """Now, on both clocks of this machine."""
    return Instant(time.time(), _uptime_seconds(), _boot())


def holder_of(pid: int) -> str | None:
    """Names a running process so that a later one with the same pid has another name; None when it has died."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:  # dead, and its parent has not looked yet
            return None
        return f"{_boot()} {pid} {process.create_time()}"
    except psutil.Error:
        return None


def own_holder() -> str:
    """The name of the process that asks; asked anew each time, because a fork changes it."""
    return holder_of(os.getpid()) or f"{_boot()} {os.getpid()} unseen"


def is_alive(holder: str) -> bool:
    """Whether the process that `holder_of` named still runs."""
    return holder_of(_pid(holder)) == holder


def is_own(holder: str) -> bool:
    """Whether that process asks now, and not a fork of it. Every ledger's holders have the pid as second word."""
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
    except OSError:  # not Linux; where a clock change moves this, rule 2 takes over
        return f"{psutil.boot_time():.0f}"
