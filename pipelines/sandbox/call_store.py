"""The rows a PBX holds, by id: what came as an Arrow table stays in Arrow, what came as dicts stays as it is.

A million rows as dicts would take a gigabyte, so only the page asked for becomes dicts.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.sandbox.clock import APPEARS, FINISHES, VANISHES, seen_at
from pipelines.sandbox.responses import Instants, Row

Ids = npt.NDArray[np.int64]
Tell = Callable[[Instants], Sequence[object]]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


class Rows:
    """Rows by id: 0.. are the table's, then the added ones in the order they came."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table.drop_columns([name for name in (APPEARS, VANISHES) if name in table.column_names])
        self._added: list[Row] = []

    def add(self, row: Mapping[str, object]) -> int:
        """Keep `row`; its id."""
        self._added.append({name: value for name, value in row.items() if name not in (APPEARS, VANISHES)})
        return int(self._table.num_rows) + len(self._added) - 1

    def read(self, ids: Ids, at: datetime | None, tell: Tell) -> list[Row]:
        """The rows `ids` as they look at `at` (None: when all is over), their instants as `tell` puts them."""
        tabled = ids < self._table.num_rows
        over = tabled.copy()
        if at and FINISHES in self._table.column_names:
            finishes = self._instants(FINISHES, ids[tabled])
            over[tabled] = ~(finishes > np.datetime64(milliseconds(at), "ms"))
        rows = np.empty(len(ids), dtype=object)
        rows[over] = self._tabled(ids[over], tell)
        odd = self._tabled(ids[tabled & ~over], as_datetimes)
        rows[tabled & ~over] = _tell_each([seen_at(row, at) for row in odd], tell)
        rows[~tabled] = _tell_each([seen_at(row, at) for row in self._others(ids[~tabled])], tell)
        read: list[Row] = rows.tolist()
        return read

    def named(self, ids: Ids, field: str, names: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Which of `ids` hold one of `names` in `field`."""
        tabled = ids < self._table.num_rows
        matches = np.zeros(len(ids), dtype=bool)
        if tabled.any():
            column = self._table[field].take(pa.array(ids[tabled]))
            matches[tabled] = pc.is_in(column, value_set=pa.array(names, column.type)).to_numpy()
        matches[~tabled] = [row.get(field) in names for row in self._others(ids[~tabled])]
        return matches

    def _others(self, ids: Ids) -> list[Row]:
        return [self._added[place] for place in (ids - self._table.num_rows).tolist()]

    def _instants(self, name: str, ids: Ids) -> Instants:
        instants: Instants = self._table[name].take(pa.array(ids)).to_numpy().astype("datetime64[ms]")
        return instants

    def _tabled(self, ids: Ids, tell: Tell) -> list[Row]:
        if not len(ids):
            return []
        columns = [
            tell(self._instants(field.name, ids))
            if pa.types.is_timestamp(field.type)
            else _plain(self._table[field.name].take(pa.array(ids)))
            for field in self._table.schema
        ]
        names = self._table.column_names
        # Checking each row's length would double the time, and the outer zip has checked the columns'.
        return [dict(zip(names, values, strict=False)) for values in zip(*columns, strict=True)]


def milliseconds(instant: datetime) -> int:
    """Milliseconds since 1970 in UTC, rounded down. Raises ValueError for an instant without a zone."""
    if instant.tzinfo is None:
        raise ValueError(f"{instant} needs a time zone")
    return (instant - EPOCH) // MILLISECOND


def as_datetimes(instants: Instants) -> list[datetime | None]:
    """datetime64[ms] in UTC as aware datetimes; NaT becomes None."""
    naive: list[datetime | None] = instants.astype("datetime64[us]").tolist()
    return [value and value.replace(tzinfo=UTC) for value in naive]


def _plain(column: pa.ChunkedArray) -> list[object]:
    # numpy turns a column into Python values many times faster, but integers with nulls into floats.
    text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    if text or (column.null_count == 0 and pa.types.is_primitive(column.type)):
        values: list[object] = column.to_numpy().tolist()
        return values
    return list(column.to_pylist())


def _tell_each(rows: list[Row], tell: Tell) -> list[Row]:
    told = [dict(row) for row in rows]
    places = [(row, name) for row in told for name, value in row.items() if isinstance(value, datetime)]
    instants = np.array(
        [milliseconds(row[name]) for row, name in places],  # type: ignore[arg-type]  # `places` holds datetimes alone
        dtype="datetime64[ms]",
    )
    for (row, name), text in zip(places, tell(instants), strict=True):
        row[name] = text
    return told
