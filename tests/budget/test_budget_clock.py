"""The real machine's clocks and processes: what a holder's name contains, and when the holder is dead."""

import subprocess
import sys

import psutil

from pipelines.budget.clock import Instant, holder_of, is_alive, is_own, own_holder, read_clock


def test_clock_runs_and_keeps_its_boot() -> None:
    """Two readings have the same boot, and neither clock runs backwards between them."""
    first, second = read_clock(), read_clock()
    assert first.boot == second.boot
    assert 0 <= second.seconds_since(first) < 5
    assert second.uptime > 0
    assert abs(second.wall - second.uptime - psutil.boot_time()) < 5


def test_age_is_by_uptime_within_a_boot_and_by_the_wall_across() -> None:
    """The first two rules, on numbers where the two clocks disagree."""
    stamp = Instant(wall=1_000, uptime=50, boot="first")
    assert Instant(wall=9_000, uptime=57, boot="first").seconds_since(stamp) == 7
    assert Instant(wall=1_030, uptime=57, boot="second").seconds_since(stamp) == 30
    assert Instant(wall=900, uptime=57, boot="second").seconds_since(stamp) == 0


def test_running_process_is_alive_until_it_is_killed() -> None:
    """A process is alive while it runs, and dead once killed, even before its parent reads its exit status."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        holder = holder_of(process.pid)
        assert holder is not None
        assert is_alive(holder)
        assert not is_own(holder)
        process.kill()
        while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
            pass
        assert not is_alive(holder)
    assert holder_of(process.pid) is None
    assert not is_alive(holder)


def test_reused_pid_is_not_the_process_before() -> None:
    """The same pid with another start time, or in another boot, is another process."""
    holder = own_holder()
    boot, pid, started = holder.split()
    assert float(started) == psutil.Process().create_time()
    assert is_alive(holder)
    assert is_own(holder)
    assert not is_alive(f"{boot} {pid} {float(started) - 60}")
    assert not is_alive(f"another-boot {pid} {started}")
