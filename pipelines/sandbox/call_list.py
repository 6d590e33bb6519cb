"""A list of calls that moves while it is read: newest first, with ties, as of an instant.

An array with one entry per row holds the order. A change copies this array; a search is binary.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.sandbox.call_store import CallStore, Convert
from pipelines.sandbox.clock import APPEARS, STARTS, VANISHES, milliseconds
from pipelines.sandbox.responses import WireRow

Positions = npt.NDArray[np.int64]

NEVER = np.iinfo(np.int64).max
# `age` is minus the start, so that it rises down the list. All but `id` are in milliseconds since 1970.
ENTRY = np.dtype([("age", "i8"), ("id", "i8"), ("appears", "i8"), ("vanishes", "i8")])


class MovingList:
    """One account's calls at one endpoint. Positions count from 0, the newest row, over all rows, visible or not.

    `rows` is a table whose instants are timestamps, or dicts whose instants are aware datetimes; `call_start_at` is
    the start. Instants are kept to the millisecond. The optional columns `_appears_at` and `_vanishes_at` say when a
    row enters and leaves the list. A row without a readable start follows the row before it.
    """

    def __init__(self, rows: "pa.Table | Iterable[Mapping[str, object]]") -> None:
        table = rows if isinstance(rows, pa.Table) else pa.table({})
        self._calls = CallStore(table)
        self._order = _sorted(_table_entries(table)) if table.num_rows else np.empty(0, ENTRY)
        if not isinstance(rows, pa.Table):
            self.insert(rows)

    def __len__(self) -> int:
        return len(self._order)

    def insert(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Insert `rows` by their starts, above rows with the same start."""
        newest = int(self._order["age"][0]) if len(self) else 0
        self._place(_sorted(self._enter(rows, newest)))

    def remove(self, positions: Iterable[int]) -> None:
        """Remove the rows at `positions`."""
        self._order = np.delete(self._order, list(positions))

    def replace(self, position: int, row: Mapping[str, object]) -> None:
        """Replace the row at `position` by `row`, which moves if its start differs."""
        age = int(self._order["age"][position])
        entry = self._enter([row], age)
        if entry["age"][0] == age:
            self._order[position] = entry[0]
        else:
            self.remove([position])
            self._place(entry)

    def duplicate(self, every: int) -> None:
        """Repeat every `every`-th row, like two calls with equal records."""
        self._order = np.repeat(self._order, 1 + (np.arange(len(self)) % every == 0))

    def find(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        at: datetime | None = None,
        named: tuple[str, Sequence[str]] | None = None,
    ) -> Positions:
        """Positions, newest first, of the rows that start in [since, until), are listed at `at`, and are `named`.

        Without `at` every row is listed. `named` is a field and the values it may have.
        """
        ages = np.ascontiguousarray(self._order["age"])
        newest = np.searchsorted(ages, -milliseconds(until), side="right") if until else 0
        oldest = np.searchsorted(ages, -milliseconds(since), side="right") if since else len(self)
        found = np.arange(newest, oldest)
        if at:
            entries, now = self._order[newest:oldest], milliseconds(at)
            found = found[(entries["appears"] <= now) & (entries["vanishes"] > now)]
        return found[self._calls.holds(self._order["id"][found], *named)] if named else found

    def page(self, found: Positions, offset: int, limit: int, shuffle: np.random.Generator | None = None) -> Positions:
        """`found[offset:offset + limit]`, with rows of the same second in random order if `shuffle` is given."""
        cut = found[offset : offset + limit]
        if shuffle is None or not len(cut):
            return cut
        seconds = -(-self._order["age"][found] // 1000)
        low = int(np.searchsorted(seconds, seconds[offset]))
        high = int(np.searchsorted(seconds, seconds[offset + len(cut) - 1], side="right"))
        mixed = found[low:high][np.lexsort((shuffle.random(high - low), seconds[low:high]))]
        return mixed[offset - low : offset - low + len(cut)]

    def read(self, positions: Positions, at: datetime | None, convert: Convert) -> list[WireRow]:
        """The rows at `positions` as of `at` (None: after all calls have ended), with their instants converted."""
        return self._calls.read(self._order["id"][positions], at, convert)

    def _place(self, entries: npt.NDArray[np.void]) -> None:
        self._order = np.insert(self._order, np.searchsorted(self._order["age"], entries["age"]), entries)

    def _enter(self, rows: Iterable[Mapping[str, object]], age: int) -> npt.NDArray[np.void]:
        entries = []
        for row in rows:
            start, appears, vanishes = (row.get(name) for name in (STARTS, APPEARS, VANISHES))
            age = -milliseconds(start) if isinstance(start, datetime) else age
            shown = milliseconds(appears) if isinstance(appears, datetime) else -age
            gone = milliseconds(vanishes) if isinstance(vanishes, datetime) else NEVER
            entries.append((age, self._calls.add(row), shown, gone))
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
    # A stable sort keeps the order of ties. Most lists come sorted, and to sort a million rows takes a while.
    ages = entries["age"]
    return entries if (ages[1:] >= ages[:-1]).all() else entries[np.argsort(ages, kind="stable")]
