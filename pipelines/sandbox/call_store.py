"""The calls that the simulated PBX holds, by id. An Arrow table stays Arrow; rows added as dicts stay dicts.

A million dicts would take a gigabyte, so only the page that is read becomes dicts.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.sandbox.clock import APPEARS, FINISHES, VANISHES, as_datetimes, call_as_of, milliseconds
from pipelines.sandbox.responses import Instants, WireRow

Ids = npt.NDArray[np.int64]
Convert = Callable[[Instants], Sequence[object]]  # instants → what a row holds for them


class CallStore:
    """Calls by id: first the table's rows, then the added rows in the order of their addition."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table.drop_columns([name for name in (APPEARS, VANISHES) if name in table.column_names])
        self._added: list[WireRow] = []

    def add(self, row: Mapping[str, object]) -> int:
        """Add `row`; return its id."""
        self._added.append({name: value for name, value in row.items() if name not in (APPEARS, VANISHES)})
        return int(self._table.num_rows) + len(self._added) - 1

    def read(self, ids: Ids, at: datetime | None, convert: Convert) -> list[WireRow]:
        """The calls `ids` as of `at` (None: after all calls have ended), with their instants converted."""
        in_table = ids < self._table.num_rows
        ended = in_table.copy()
        if at and FINISHES in self._table.column_names:
            finishes = self._instants(FINISHES, ids[in_table])
            ended[in_table] = ~(finishes > np.datetime64(milliseconds(at), "ms"))
        rows = np.empty(len(ids), dtype=object)
        rows[ended] = self._read_table(ids[ended], convert)
        unfinished = self._read_table(ids[in_table & ~ended], as_datetimes)
        rows[in_table & ~ended] = _convert_each([call_as_of(row, at) for row in unfinished], convert)
        rows[~in_table] = _convert_each([call_as_of(row, at) for row in self._read_added(ids[~in_table])], convert)
        read: list[WireRow] = rows.tolist()
        return read

    def holds(self, ids: Ids, field: str, names: Sequence[str]) -> npt.NDArray[np.bool_]:
        """For each of `ids`, whether its `field` is one of `names`."""
        in_table = ids < self._table.num_rows
        matches = np.zeros(len(ids), dtype=bool)
        if in_table.any():
            column = self._table[field].take(pa.array(ids[in_table]))
            matches[in_table] = pc.is_in(column, value_set=pa.array(names, column.type)).to_numpy()
        matches[~in_table] = [row.get(field) in names for row in self._read_added(ids[~in_table])]
        return matches

    def _read_added(self, ids: Ids) -> list[WireRow]:
        return [self._added[place] for place in (ids - self._table.num_rows).tolist()]

    def _instants(self, name: str, ids: Ids) -> Instants:
        instants: Instants = self._table[name].take(pa.array(ids)).to_numpy().astype("datetime64[ms]")
        return instants

    def _read_table(self, ids: Ids, convert: Convert) -> list[WireRow]:
        if not len(ids):
            return []
        columns = [
            convert(self._instants(field.name, ids))
            if pa.types.is_timestamp(field.type)
            else _values(self._table[field.name].take(pa.array(ids)))
            for field in self._table.schema
        ]
        names = self._table.column_names
        # To check each row's length would double the time, and the outer zip checks the columns' lengths.
        return [dict(zip(names, values, strict=False)) for values in zip(*columns, strict=True)]


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
    instants = np.array(
        [milliseconds(row[name]) for row, name in places],  # type: ignore[arg-type]  # `places` holds only datetimes
        dtype="datetime64[ms]",
    )
    for (row, name), value in zip(places, convert(instants), strict=True):
        row[name] = value
    return converted
