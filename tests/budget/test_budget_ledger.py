"""The ledger in a file: its access rights, content, size and error messages."""

import os
import random
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from pipelines.budget import Budget, Limits
from pipelines.errors import BudgetSpent, CallsError, SettingsError, StoppedEarly
from tests.support.ledgers import HOST, KEY, LIMITS, SetClock, spend

HOLDS_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN " + sys.argv[2])
connection.execute("UPDATE requests SET account = 'of the other program'")
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """A ledger that has seen two requests."""
    path = tmp_path / "state" / "ledger.sqlite"
    spend(Budget(path, HOST, KEY, LIMITS), 2)
    return path


def test_only_its_owner_reads_the_ledger(ledger: Path) -> None:
    """The file and its journal have mode 0600, their folder 0700, and no draft is left in it."""
    files = sorted(ledger.parent.iterdir())
    assert files == [ledger, ledger.with_name(f"{ledger.name}-journal")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE(ledger.parent.stat().st_mode) == 0o700


def test_key_and_host_are_nowhere(ledger: Path) -> None:
    """No file, repr or error holds the key or the host."""
    budget = Budget(ledger, HOST, KEY, LIMITS)
    texts = [repr(budget), repr(vars(budget)), repr(budget.usage())]
    with budget.slot():
        texts += [path.read_bytes().decode("latin-1") for path in ledger.parent.iterdir()]
    spend(budget, 1)
    with pytest.raises(BudgetSpent) as spent, budget.slot():
        pass
    budget.block(10)
    with pytest.raises(BudgetSpent) as blocked, budget.slot():
        pass
    texts += [path.read_bytes().decode("latin-1") for path in ledger.parent.iterdir()]
    ledger.write_bytes(b"no longer a ledger")
    with pytest.raises(SettingsError) as damaged:
        Budget(ledger, HOST, KEY, LIMITS)
    texts += [repr(error.value) for error in (spent, blocked, damaged)]
    assert not [text for text in texts if KEY in text or HOST in text]


def test_ledger_stays_small(ledger: Path) -> None:
    """After six windows, each with requests, a block and a failure, the file is as large as after the first."""
    clock = SetClock()
    budget = Budget(ledger, HOST, KEY, Limits(requests=8, window_seconds=100, reserve_interactive=0), clock)

    def fill_window() -> int:
        spend(budget, 7)
        with pytest.raises(RuntimeError), budget.slot():
            raise RuntimeError
        budget.block(10)
        clock.advance(300)
        return ledger.stat().st_size

    first = fill_window()
    assert max(fill_window() for _ in range(5)) == first
    spend(budget, 1)
    with closing(sqlite3.connect(ledger)) as connection:
        assert connection.execute("SELECT count(*) FROM requests").fetchone() == (1,)


def test_rows_of_keys_no_longer_used_go(tmp_path: Path) -> None:
    """Two days after its last request no rows of a key are left, even if only others are used; before, all count."""
    clock = SetClock()
    path = tmp_path / "ledger.sqlite"
    old, new = (Budget(path, HOST, key, Limits(window_seconds=86_400), clock) for key in ("old-key", "new-key"))
    spend(old, 3)
    clock.advance(86_480)
    spend(new, 1)
    assert old.usage().used == 3
    clock.advance(86_480)
    spend(new, 1)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM requests").fetchone() == (2,)


@pytest.mark.parametrize("kept", [0, 16, 100, 5_000])
def test_truncated_ledger_is_not_an_empty_budget(ledger: Path, kept: int) -> None:
    """A ledger cut short anywhere, even to nothing, is refused; the message has the remedy and when it is safe."""
    ledger.write_bytes(ledger.read_bytes()[:kept])
    with pytest.raises(SettingsError, match=r"damaged .* 100 s without a request .* delete the file; not sooner"):
        Budget(ledger, HOST, KEY, LIMITS)


@pytest.mark.parametrize("content", [b"{}", b"SQLite format 3\0", bytes(8_192)])
def test_other_content_is_not_an_empty_budget(ledger: Path, content: bytes) -> None:
    """A file with other content, or with zeros, is refused, even if that happens during a run."""
    budget = Budget(ledger, HOST, KEY, LIMITS)
    ledger.write_bytes(content)
    with pytest.raises(SettingsError, match="damaged"):
        Budget(ledger, HOST, KEY, LIMITS)
    with pytest.raises(SettingsError, match="damaged"), budget.slot():
        pass
    with pytest.raises(SettingsError, match="damaged"):
        budget.usage()


def test_another_programs_database_is_refused_untouched(tmp_path: Path) -> None:
    """A SQLite file that is not a ledger is refused, and nothing is written into it."""
    path = tmp_path / "other.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE requests (id INTEGER)")
    before = path.read_bytes()
    with pytest.raises(SettingsError, match="not a request ledger"):
        Budget(path, HOST, KEY, LIMITS)
    assert path.read_bytes() == before


def test_every_page_wiped_is_noticed(ledger: Path) -> None:
    """Whichever page the disk loses, the ledger is refused and not read as an empty one."""
    whole = ledger.read_bytes()
    for start in range(0, len(whole), 4_096):
        ledger.write_bytes(whole[:start] + bytes(4_096) + whole[start + 4_096 :])
        with pytest.raises(SettingsError, match="damaged"):
            Budget(ledger, HOST, KEY, LIMITS)


def test_scribbled_bytes_lose_no_request(ledger: Path) -> None:
    """With random bytes flipped anywhere in the file there is an error, or the ledger still counts every request."""
    whole = ledger.read_bytes()
    randomness = random.Random(1)
    refused = 0
    for _ in range(1_000):
        damaged = bytearray(whole)
        for _ in range(randomness.choice([1, 8, 64])):
            damaged[randomness.choice([randomness.randrange(len(damaged)), -randomness.randrange(1, 600)])] ^= 1
        ledger.write_bytes(damaged)
        try:
            budget = Budget(ledger, HOST, KEY, LIMITS)
            assert budget.usage().used == 2
        except CallsError:
            refused += 1
    assert 0 < refused < 1_000


def test_vanished_ledger_does_not_come_back_empty(ledger: Path) -> None:
    """A ledger deleted during a run is an error of that run, not a new budget."""
    budget = Budget(ledger, HOST, KEY, LIMITS)
    ledger.unlink()
    with pytest.raises(SettingsError, match="cannot be opened"), budget.slot():
        pass
    assert not ledger.exists()


def test_path_that_cannot_be_a_file_is_named(tmp_path: Path) -> None:
    """A folder in the file's place, or a file in the folder's place, is refused, and the message names it."""
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "ledger.sqlite", tmp_path / "file" / "deeper" / "ledger.sqlite"):
        with pytest.raises(SettingsError, match=r"cannot be opened or written: .* safe to name another") as caught:
            Budget(path, HOST, KEY, LIMITS)
        assert str(path) in str(caught.value)


def test_ledger_of_another_user_is_refused(ledger: Path) -> None:
    """Without the right to write the file or its folder, the run ends with an error before its first request."""
    ledger.chmod(0o400)
    ledger.parent.chmod(0o500)
    script = """
import os, sys
from pathlib import Path
from pipelines.budget import Budget, Limits
from pipelines.errors import SettingsError
folder = Path(sys.argv[1])
if os.geteuid() == 0:
    os.chown(folder, 65534, 65534)
    os.chown(folder / "ledger.sqlite", 65534, 65534)
    os.chdir(folder)
    os.setuid(65534)
for name in ("ledger.sqlite", "new.sqlite"):
    try:
        with Budget(Path(name), "pbx.example", "key", Limits()).slot():
            print("sent")
    except SettingsError as error:
        print("refused", error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(ledger.parent)], capture_output=True, text=True, check=True
    )
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["refused", "refused"]


def test_usage_and_waiting_while_another_program_writes(ledger: Path) -> None:
    """While another program writes, usage answers at once with the state before it, and a slot waits for its end."""
    budget = Budget(ledger, HOST, KEY, LIMITS)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS_LOCK, str(ledger), "IMMEDIATE"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        start = time.monotonic()
        assert budget.usage().used == 2
        assert time.monotonic() - start < 0.5
        threading.Timer(0.5, other.stdin.close).start()
        spend(budget, 1)
        assert time.monotonic() - start >= 0.5
    assert budget.usage().used == 3


def test_ledger_locked_for_good_is_an_error(ledger: Path) -> None:
    """If another program keeps the file locked, the wait ends with `StoppedEarly`, which names the file."""
    budget = Budget(ledger, HOST, KEY, LIMITS)
    with closing(sqlite3.connect(ledger, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoppedEarly, match=r"stays locked by another program") as caught:
            budget.usage()
    assert not isinstance(caught.value, BudgetSpent)
    assert str(ledger) in str(caught.value)


def test_ledger_is_the_same_file_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path is resolved when the budget is opened, and its odd characters have no special meaning."""
    monkeypatch.chdir(tmp_path)
    budget = Budget(Path("a b?mode=memory#é%20.sqlite"), HOST, KEY, LIMITS)
    monkeypatch.chdir("/")
    spend(budget, 1)
    assert sorted(os.listdir(tmp_path)) == ["a b?mode=memory#é%20.sqlite", "a b?mode=memory#é%20.sqlite-journal"]
    assert budget.usage().used == 1
