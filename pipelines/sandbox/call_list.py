"""A list of calls that moves while it is read: newest first, with ties, as of an instant.

An array with an entry a row puts the rows in order: a change costs a copy of that array, a look a binary search.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.sandbox.clock import APPEARS, STARTS, VANISHES
from pipelines.sandbox.responses import Row
from pipelines.sandbox.rows import Rows, Tell, milliseconds

Positions = npt.NDArray[np.int64]

NEVER = np.iinfo(np.int64).max
# `age` is minus the start, so that it rises down the list; all but `id` are milliseconds since 1970.
ENTRY = np.dtype([("age", "i8"), ("id", "i8"), ("appears", "i8"), ("vanishes", "i8")])


class MovingList:
    """One account's calls at one endpoint. Positions count from the newest row, 0, over all rows, visible or not.

    `rows`: a table with `call_start_at` and other instants as timestamps, or dicts with instants as aware datetimes.
    Instants are kept to the millisecond. Optional columns `_appears_at` and `_vanishes_at` say when a row enters and
    leaves the list by a live clock. A row without a readable start stands beside the row before it.
    """

    def __init__(self, rows: "pa.Table | Iterable[Mapping[str, object]]") -> None:
        table = rows if isinstance(rows, pa.Table) else pa.table({})
        self._rows = Rows(table)
        self._order = _sorted(_table_entries(table)) if table.num_rows else np.empty(0, ENTRY)
        if not isinstance(rows, pa.Table):
            self.insert(rows)

    def __len__(self) -> int:
        return len(self._order)

    def insert(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Put `rows` where their starts belong, above those that start at the same instant."""
        newest = int(self._order["age"][0]) if len(self) else 0
        self._place(_sorted(self._enter(rows, newest)))

    def remove(self, positions: Iterable[int]) -> None:
        """Take the rows at `positions` out."""
        self._order = np.delete(self._order, list(positions))

    def replace(self, position: int, row: Mapping[str, object]) -> None:
        """Put `row` in place of the one at `position`; it moves when its start differs."""
        age = int(self._order["age"][position])
        entry = self._enter([row], age)
        if entry["age"][0] == age:
            self._order[position] = entry[0]
        else:
            self.remove([position])
            self._place(entry)

    def duplicate(self, every: int) -> None:
        """Let every `every`-th row stand twice, as two calls that look the same do."""
        self._order = np.repeat(self._order, 1 + (np.arange(len(self)) % every == 0))

    def find(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        at: datetime | None = None,
        named: tuple[str, Sequence[str]] | None = None,
    ) -> Positions:
        """Positions, newest first, of rows that start in [since, until), are in the list at `at`, and are `named`.

        Without `at` no row comes late or goes away. `named` is a field and the texts it may hold.
        """
        ages = np.ascontiguousarray(self._order["age"])
        newest = np.searchsorted(ages, -milliseconds(until), side="right") if until else 0
        oldest = np.searchsorted(ages, -milliseconds(since), side="right") if since else len(self)
        found = np.arange(newest, oldest)
        if at:
            entries, now = self._order[newest:oldest], milliseconds(at)
            found = found[(entries["appears"] <= now) & (entries["vanishes"] > now)]
        return found[self._rows.named(self._order["id"][found], *named)] if named else found

    def page(self, found: Positions, offset: int, limit: int, shuffle: np.random.Generator | None = None) -> Positions:
        """`found[offset:offset + limit]`, after `shuffle` has put rows of the same second in any order."""
        cut = found[offset : offset + limit]
        if shuffle is None or not len(cut):
            return cut
        seconds = -(-self._order["age"][found] // 1000)
        low = int(np.searchsorted(seconds, seconds[offset]))
        high = int(np.searchsorted(seconds, seconds[offset + len(cut) - 1], side="right"))
        mixed = found[low:high][np.lexsort((shuffle.random(high - low), seconds[low:high]))]
        return mixed[offset - low : offset - low + len(cut)]

    def read(self, positions: Positions, at: datetime | None, tell: Tell) -> list[Row]:
        """The rows at `positions` as they look at `at` (None: when all is over), their instants as `tell` puts them."""
        return self._rows.read(self._order["id"][positions], at, tell)

    def _place(self, entries: npt.NDArray[np.void]) -> None:
        self._order = np.insert(self._order, np.searchsorted(self._order["age"], entries["age"]), entries)

    def _enter(self, rows: Iterable[Mapping[str, object]], age: int) -> npt.NDArray[np.void]:
        entries = []
        for row in rows:
            start, appears, vanishes = (row.get(name) for name in (STARTS, APPEARS, VANISHES))
            age = -milliseconds(start) if isinstance(start, datetime) else age
            shown = milliseconds(appears) if isinstance(appears, datetime) else -age
            gone = milliseconds(vanishes) if isinstance(vanishes, datetime) else NEVER
            entries.append((age, self._rows.add(row), shown, gone))
        return np.array(entries, ENTRY)


def _table_entries(table: pa.Table) -> npt.NDArray[np.void]:
    entries = np.empty(table.num_rows, ENTRY)
    starts = _milliseconds(pc.fill_null_forward(table[STARTS]), np.zeros(table.num_rows, np.int64))
    entries["age"], entries["id"] = -starts, np.arange(table.num_rows)
    entries["appears"], entries["vanishes"] = starts, NEVER
    if APPEARS in table.column_names:
        entries["appears"] = _milliseconds(table[APPEARS], starts)
    if VANISHES in table.column_names:
        entries["vanishes"] = _milliseconds(table[VANISHES], entries["vanishes"])
    return entries


def _milliseconds(column: pa.ChunkedArray, absent: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    instants = column.to_numpy().astype("datetime64[ms]")
    return np.where(np.isnat(instants), absent, instants.astype(np.int64))


def _sorted(entries: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    # A stable sort keeps ties as they came. Most lists come sorted, and a million rows take a while to sort.
    ages = entries["age"]
    return entries if (ages[1:] >= ages[:-1]).all() else entries[np.argsort(ages, kind="stable")]
