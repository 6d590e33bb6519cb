"""A list of calls that moves while it is read: newest first, with ties, as of an instant.

An array with one entry per row holds the order. A change copies this array; a search is binary. The calls of an Arrow
table stay Arrow, because a million dicts would take a gigabyte; only the page that is read becomes dicts.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.sandbox.clock import APPEARS, FINISHES, STARTS, VANISHES, as_datetimes, call_as_of, milliseconds
from pipelines.sandbox.responses import Instants, WireRow

Positions = npt.NDArray[np.int64]
Convert = Callable[[Instants], Sequence[object]]  # instants → what a row holds for them

HIDDEN = (APPEARS, VANISHES)
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
        self._table = table.drop_columns([name for name in HIDDEN if name in table.column_names])
        self._added: list[WireRow] = []  # their ids follow the table's
        self._order = _entries(table, 0, 0) if table.num_rows else np.empty(0, ENTRY)
        if not isinstance(rows, pa.Table):
            self.insert(rows)

    def insert(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Insert `rows` by their starts, above rows with the same start."""
        self._place(self._add(rows, int(self._order["age"][0]) if len(self._order) else 0))

    def remove(self, positions: Iterable[int]) -> None:
        """Remove the rows at `positions`."""
        self._order = np.delete(self._order, list(positions))

    def replace(self, position: int, row: Mapping[str, object]) -> None:
        """Replace the row at `position` by `row`, which moves if its start differs."""
        age = int(self._order["age"][position])
        entry = self._add([row], age)
        if entry["age"][0] == age:
            self._order[position] = entry[0]
        else:
            self.remove([position])
            self._place(entry)

    def duplicate(self, every: int) -> None:
        """Repeat every `every`-th row, like two calls with equal records."""
        self._order = np.repeat(self._order, 1 + (np.arange(len(self._order)) % every == 0))

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
        oldest = np.searchsorted(ages, -milliseconds(since), side="right") if since else len(ages)
        found = np.arange(newest, oldest)
        if at:
            entries, now = self._order[newest:oldest], milliseconds(at)
            found = found[(entries["appears"] <= now) & (entries["vanishes"] > now)]
        return found[self._are_named(self._order["id"][found], *named)] if named else found

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
        ids = self._order["id"][positions]
        plain = ids < len(self._table)  # in the table and ended, so read by whole columns
        if at and FINISHES in self._table.column_names:
            finishes = self._instants(FINISHES, ids[plain])
            plain[plain] = ~(finishes > np.datetime64(milliseconds(at), "ms"))
        rows = np.empty(len(ids), dtype=object)
        rows[plain] = self._read_table(ids[plain], convert)
        rows[~plain] = _convert_each([call_as_of(self._row(row_id), at) for row_id in ids[~plain].tolist()], convert)
        read: list[WireRow] = rows.tolist()
        return read

    def _place(self, entries: npt.NDArray[np.void]) -> None:
        self._order = np.insert(self._order, np.searchsorted(self._order["age"], entries["age"]), entries)

    def _add(self, rows: Iterable[Mapping[str, object]], age: int) -> npt.NDArray[np.void]:
        rows, first_id = list(rows), len(self._table) + len(self._added)
        stamps = {name: [_stamp(row.get(name)) for row in rows] for name in (STARTS, *HIDDEN)}
        self._added += [{name: value for name, value in row.items() if name not in HIDDEN} for row in rows]
        instant = pa.timestamp("ms", "UTC")
        return _entries(pa.table({name: pa.array(column, instant) for name, column in stamps.items()}), first_id, age)

    def _are_named(self, ids: Positions, field: str, names: Sequence[str]) -> npt.NDArray[np.bool_]:
        column = self._table[field] if field in self._table.column_names else pa.array([], pa.string())
        in_table = pc.is_in(column, value_set=pa.array(names, column.type)).to_numpy(zero_copy_only=False)
        added = np.array([row.get(field) in names for row in self._added], bool)
        matches: npt.NDArray[np.bool_] = np.concatenate([in_table, added])[ids]
        return matches

    def _row(self, row_id: int) -> WireRow:
        if row_id >= len(self._table):
            return self._added[row_id - len(self._table)]
        return self._read_table(np.array([row_id]), as_datetimes)[0]

    def _instants(self, name: str, ids: Positions) -> Instants:
        instants: Instants = self._table[name].take(pa.array(ids)).to_numpy().astype("datetime64[ms]")
        return instants

    def _read_table(self, ids: Positions, convert: Convert) -> list[WireRow]:
        columns = [
            convert(self._instants(field.name, ids))
            if pa.types.is_timestamp(field.type)
            else _values(self._table[field.name].take(pa.array(ids)))
            for field in self._table.schema
        ]
        names = self._table.column_names
        # To check each row's length would double the time, and the outer zip checks the columns' lengths.
        return [dict(zip(names, values, strict=False)) for values in zip(*columns, strict=True)]


def _stamp(value: object) -> int | None:
    return milliseconds(value) if isinstance(value, datetime) else None


def _entries(table: pa.Table, first_id: int, age: int) -> npt.NDArray[np.void]:
    """The rows' entries, newest first. `age` is that of the rows before the first one with a start."""
    entries = np.empty(table.num_rows, ENTRY)
    starts = _milliseconds(pc.fill_null_forward(table[STARTS]), np.full(table.num_rows, -age))
    entries["age"], entries["id"] = -starts, first_id + np.arange(table.num_rows)
    for field, name, absent in (("appears", APPEARS, starts), ("vanishes", VANISHES, np.full(table.num_rows, NEVER))):
        entries[field] = _milliseconds(table[name], absent) if name in table.column_names else absent
    # A stable sort keeps the order of ties. Most lists come sorted, and to sort a million rows takes a while.
    ages = entries["age"]
    return entries if (ages[1:] >= ages[:-1]).all() else entries[np.argsort(ages, kind="stable")]


def _milliseconds(column: pa.ChunkedArray, absent: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    instants = column.to_numpy().astype("datetime64[ms]")
    return np.where(np.isnat(instants), absent, instants.astype(np.int64))


def _values(column: pa.ChunkedArray) -> list[object]:
    # numpy makes Python values of a column many times faster, but floats of integers with nulls.
    text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    if text or (column.null_count == 0 and pa.types.is_primitive(column.type)):
        values: list[object] = column.to_numpy().tolist()
        return values
    return list(column.to_pylist())


def _convert_each(rows: list[WireRow], convert: Convert) -> list[WireRow]:
    converted = [dict(row) for row in rows]
    places = [(row, name) for row in converted for name, value in row.items() if isinstance(value, datetime)]
    instants = np.array([_stamp(row[name]) for row, name in places], dtype="datetime64[ms]")
    for (row, name), value in zip(places, convert(instants), strict=True):
        row[name] = value
    return converted
