"""The request ledger: one row a request, shared by every program that uses a key. It counts; `budget.py` decides.

Where the rows stand is a storage's business: `ledger_sqlite.py` for one machine, `ledger_postgres.py` for several.
What is counted, and from when, is the same for both and is all here.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Protocol

from pipelines.budget.clock import Instant, is_own

DAY_SECONDS = 86_400.0  # no window and no block is longer
FORGET_SECONDS = 2 * DAY_SECONDS  # so a row older than this is in nobody's, with every margin
WRITE_TIMEOUT_SECONDS = 30.0
READ_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True)
class Spent:
    """What one account has spent, as its ledger sees it at `now`."""

    now: Instant
    ages: tuple[float, ...]  # seconds since each answer; negative where it is only presumed to come
    in_flight: int
    block_left: float  # seconds; 0 when the PBX has not refused


@dataclass(frozen=True)
class Row:
    """One request, or one block."""

    id: int | None
    account: str
    holder: str
    block_seconds: float | None = None
    since: Instant | None = None

    def left(self, now: Instant, hold_seconds: float) -> float:
        """Seconds this row still counts, if it is held so long after its stamp."""
        if self.since is None:
            return hold_seconds
        return (self.block_seconds or hold_seconds) - now.seconds_since(self.since)


class Transaction(Protocol):
    """The ledger opened for one transaction."""

    def now(self) -> Instant:
        """The time by the clock that this ledger counts by, read when asked."""

    def rows(self) -> list[Row]:
        """At least every row of the account."""

    def write(self, row: Row) -> Row:
        """Adds the row, or puts it in place of the one with its id (also of one forgotten meanwhile)."""

    def forget(self, row: Row) -> None:
        """Removes the row."""

    def holder(self) -> str:
        """Names who sends the request that is reserved now, for `is_alive` and `machine.is_own`."""

    def is_alive(self, holder: str) -> bool:
        """Whether that sender may still settle its request."""


class Storage(Protocol):
    """Where one account's rows stand. Raises `SettingsError` when it cannot be used, `StoppedEarly` when locked."""

    def prepare(self) -> None:
        """Makes the ledger where there is none, and looks into it where there is one."""

    def writing(self, holder: str = "") -> AbstractContextManager[Transaction]:
        """Alone until the end, which is durable. `holder` is whose request is settled, if one is."""

    def reading(self) -> AbstractContextManager[Transaction]:
        """Beside others that write; the book is only read."""


@dataclass(frozen=True)
class Ledger:
    """One account's ledger. Raises what its storage raises."""

    storage: Storage
    account: str = field(repr=False)
    hold_seconds: float  # a request counts for so long after its answer
    late_seconds: float  # an unanswered request may arrive so long after its sender gave up or died

    def reserve(self, has_room: Callable[[Spent], bool]) -> tuple[Row | None, Spent]:
        """Reserves one request if there is room: durable, and no two callers see the same room."""
        with self.storage.writing() as book:
            now = book.now()  # after the lock: what came free during the wait for it is free
            spent = self._count(self._notice(book, now), now)
            if not has_room(spent):
                return None, spent
            return book.write(Row(None, self.account, book.holder())), spent

    def settle(self, reserved: Row, *, answered: bool) -> None:
        """Lets a reserved request count from now on; if it had no answer, from when it can no longer arrive."""
        if not is_own(reserved.holder):
            return  # a forked child leaves the block too; the answer is its parent's
        with self.storage.writing(reserved.holder) as book:
            now = book.now()  # the answer is in; to stamp it late, by the wait for the lock, only lengthens
            book.write(replace(reserved, since=now if answered else now.shifted(self.late_seconds)))

    def block(self, seconds: float) -> None:
        """Marks the window full. Blocks add up to the longest of them, so none is shortened."""
        with self.storage.writing() as book:
            book.write(Row(None, self.account, "", seconds, book.now()))

    def read(self) -> Spent:
        """Counts without writing: readers wait only for the moment in which another's commit reaches the disk."""
        with self.storage.reading() as book:
            rows = book.rows()
            now = book.now()
            return self._count([self._seen(book, row, now) for row in rows], now)

    def _notice(self, book: Transaction, now: Instant) -> list[Row]:
        """Writes down what can be seen now: senders that died, another boot, rows long over."""
        kept = []
        for row in book.rows():
            seen = self._seen(book, row, now)
            if seen.left(now, self.hold_seconds if seen.account == self.account else FORGET_SECONDS) <= 0:
                book.forget(row)
                continue
            if seen != row:
                book.write(seen)
            kept.append(seen)
        return kept

    def _seen(self, book: Transaction, row: Row, now: Instant) -> Row:
        """The row as it stands now. A live sender wrongly taken for dead does no harm: its answer restamps the row."""
        if row.since is None:
            return row if book.is_alive(row.holder) else replace(row, since=now.shifted(self.late_seconds))
        if row.since.boot == now.boot:
            return row
        return replace(row, since=now.shifted(-now.seconds_since(row.since)))

    def _count(self, rows: list[Row], now: Instant) -> Spent:
        own = [row for row in rows if row.account == self.account and row.left(now, self.hold_seconds) > 0]
        blocks = [row.left(now, self.hold_seconds) for row in own if row.block_seconds]
        requests = [row for row in own if not row.block_seconds]
        ages = tuple(now.seconds_since(row.since) for row in requests if row.since)
        return Spent(now, ages, len(requests) - len(ages), max(blocks, default=0.0))
