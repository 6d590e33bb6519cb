"""The request ledger: one entry per request or block. It counts; `Budget` decides.

Every program that uses a key shares it. `sqlite.py` stores the entries for one machine, `postgres.py` for several
hosts. What counts, and from when, is the same for both and is defined here.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Protocol

from pipelines.budget.clock import Instant, is_own

DAY_SECONDS = 86_400.0  # no window and no block is longer
FORGET_SECONDS = 2 * DAY_SECONDS  # an entry older than this counts in no window, whatever the margin
WRITE_TIMEOUT_SECONDS = 30.0
READ_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True)
class Spent:
    """What one account has spent at `now`."""

    now: Instant
    ages: tuple[float, ...]  # seconds since each answer; negative if the request may still arrive later
    in_flight: int
    block_left: float  # seconds; 0 if the PBX has not refused


@dataclass(frozen=True)
class Entry:
    """One request, or one block."""

    id: int | None
    account: str
    holder: str
    block_seconds: float | None = None
    since: Instant | None = None  # None while the request is under way

    def left(self, now: Instant, hold_seconds: float) -> float:
        """Seconds for which this entry still counts, if a request counts `hold_seconds` after its stamp."""
        if self.since is None:
            return hold_seconds
        return (self.block_seconds or hold_seconds) - now.seconds_since(self.since)


class Transaction(Protocol):
    """The ledger, open for one transaction."""

    def now(self) -> Instant:
        """The present instant on this ledger's clock; not cached."""

    def entries(self) -> list[Entry]:
        """All entries of the account, perhaps also those of other accounts."""

    def write(self, entry: Entry) -> Entry:
        """Add the entry, or replace the one with its id, even if that has been forgotten meanwhile."""

    def forget(self, entry: Entry) -> None:
        """Remove the entry."""

    def holder(self) -> str:
        """A name for the sender of the request being reserved, as `is_alive` and `clock.is_own` take it."""

    def is_alive(self, holder: str) -> bool:
        """Whether this sender may still settle its request."""


class Storage(Protocol):
    """Where one account's entries are. Raises `SettingsError` if it cannot be used, `StoppedEarly` if it is locked."""

    def prepare(self) -> None:
        """Create the ledger if there is none; check that it can be read if there is one."""

    def writing(self, holder: str = "") -> AbstractContextManager[Transaction]:
        """An exclusive transaction, durable at its end. `holder` is the sender of the request to settle, if any."""

    def reading(self) -> AbstractContextManager[Transaction]:
        """A transaction that only reads, while others may write."""


@dataclass(frozen=True)
class Ledger:
    """One account's ledger. Raises what its storage raises."""

    storage: Storage
    account: str = field(repr=False)
    hold_seconds: float  # a request counts for so long after its answer
    late_seconds: float  # an unanswered request may arrive so long after its sender gave up or died

    def reserve(self, has_room: Callable[[Spent], bool]) -> tuple[Entry | None, Spent]:
        """Reserve one request if there is room. The entry is durable, and no two callers get the same room."""
        with self.storage.writing() as transaction:
            now = transaction.now()  # read after the lock, so that slots freed during the wait for it are free
            spent = self._count(self._refresh(transaction, now), now)
            if not has_room(spent):
                return None, spent
            return transaction.write(Entry(None, self.account, transaction.holder())), spent

    def settle(self, reserved: Entry, *, answered: bool) -> None:
        """Start the window of a reserved request: now, or once it can no longer arrive if it had no answer."""
        if not is_own(reserved.holder):
            return  # a forked child leaves the `slot` block too, but the answer is its parent's
        with self.storage.writing(reserved.holder) as transaction:
            now = transaction.now()  # later than the answer by the wait for the lock, which only lengthens the window
            transaction.write(replace(reserved, since=now if answered else now.shifted(self.late_seconds)))

    def block(self, seconds: float) -> None:
        """Mark the window as full. The longest of several blocks holds, so none is shortened."""
        with self.storage.writing() as transaction:
            transaction.write(Entry(None, self.account, "", seconds, transaction.now()))

    def read(self) -> Spent:
        """Count without writing. A reader waits only while another process's commit goes to the disk."""
        with self.storage.reading() as transaction:
            entries = transaction.entries()
            now = transaction.now()
            return self._count([self._judge(transaction, entry, now) for entry in entries], now)

    def _refresh(self, transaction: Transaction, now: Instant) -> list[Entry]:
        """Write down dead senders and restamp earlier boots' entries; forget entries that no longer count."""
        kept = []
        for entry in transaction.entries():
            judged = self._judge(transaction, entry, now)
            if judged.left(now, self.hold_seconds if judged.account == self.account else FORGET_SECONDS) <= 0:
                transaction.forget(entry)
                continue
            if judged != entry:
                transaction.write(judged)
            kept.append(judged)
        return kept

    def _judge(self, transaction: Transaction, entry: Entry, now: Instant) -> Entry:
        """The entry as of `now`. To take a live sender for dead does no harm: its answer restamps the entry."""
        if entry.since is None:
            is_alive = transaction.is_alive(entry.holder)
            return entry if is_alive else replace(entry, since=now.shifted(self.late_seconds))
        if entry.since.boot == now.boot:
            return entry
        return replace(entry, since=now.shifted(-now.seconds_since(entry.since)))

    def _count(self, entries: list[Entry], now: Instant) -> Spent:
        own = [entry for entry in entries if entry.account == self.account and entry.left(now, self.hold_seconds) > 0]
        blocks = [entry.left(now, self.hold_seconds) for entry in own if entry.block_seconds]
        requests = [entry for entry in own if not entry.block_seconds]
        ages = tuple(now.seconds_since(entry.since) for entry in requests if entry.since)
        return Spent(now, ages, len(requests) - len(ages), max(blocks, default=0.0))
