"""The whole days of one list that one package loads: their rows, and what has to be removed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Any

import pyarrow as pa

from pipelines.voipcloud.coverage import DAY, Coverage
from pipelines.voipcloud.records import Page
from pipelines.voipcloud.schemas import SCHEMAS

REMOVED = "is_removed"


@dataclass
class Package:
    """What has been read of one list since the last package."""

    account: str
    endpoint: str
    rows: int = 0  # taken
    rejected: list[dict[str, Any]] = field(default_factory=list)
    loaded_days: list[dict[str, Any]] = field(default_factory=list)
    _tables: list[pa.Table] = field(default_factory=list)  # not taken yet
    _emptied: list[date] = field(default_factory=list)  # days to leave without calls
    _cleared: list[date] = field(default_factory=list)  # days to leave without rejected records

    def put_day(self, day: date, pages: Sequence[Page], before: Coverage, loaded_at: datetime) -> None:
        """One whole day's records; `before` says what is stored of it and has to go if nothing replaces it."""
        key = day.isoformat()
        tables = [page.table for page in pages if page.table.num_rows]
        rejected = [bad for page in pages for bad in page.rejected]
        self._tables += tables
        said: dict[str, Any] = {**self._whose(loaded_at), "call_day": day}
        self.rejected += [{**said, "reason": bad.reason, "record": bad.record} for bad in rejected]
        if not tables and (key in before.counts or key in before.other_names):
            self._emptied.append(day)
        if not rejected and key in before.rejected:
            self._cleared.append(day)

    def put_loaded_days(
        self, filled: set[date], span: tuple[date, date], coverage: Coverage, loaded_at: datetime
    ) -> int:
        """Rows for `raw.loaded_days`: days with calls now or before, and those without, back to the oldest call.

        `coverage` is what was known after the half-open `span` of days was read. Returns how many days.
        """
        first, end = max(span[0], coverage.first_day or span[1]), min(span[1], loaded_at.date() + DAY)
        days = filled | {first + n * DAY for n in range((end - first).days)}
        self.loaded_days += [{**self._whose(loaded_at), **_day_row(day, coverage)} for day in sorted(days)]
        return len(days)

    def take_calls(self, rows: int = 1) -> pa.Table | None:
        """The calls not taken yet in one table, if there are at least so many rows of them."""
        if sum(table.num_rows for table in self._tables) < rows:
            return None
        # in one piece: days apart are written as slowly as they are many
        table = pa.concat_tables(self._tables).combine_chunks()
        self._tables = []
        self.rows += table.num_rows
        return table

    def removed_calls(self, loaded_at: datetime) -> pa.Table | None:
        """A row that empties each day which has no calls any more."""
        return _removal_rows(SCHEMAS[self.endpoint], self._emptied, {"account": self.account, "loaded_at": loaded_at})

    def rejected_records(self, loaded_at: datetime) -> Iterator[pa.Table]:
        """Rows for `raw.rejected_records`, then one that empties each day which has none any more."""
        schema = SCHEMAS["rejected_records"]
        if self.rejected:
            yield pa.Table.from_pylist(self.rejected, schema=schema)
        removed = _removal_rows(schema, self._cleared, self._whose(loaded_at))
        if removed is not None:
            yield removed

    def _whose(self, loaded_at: datetime) -> dict[str, Any]:
        return {"account": self.account, "endpoint": self.endpoint, "loaded_at": loaded_at}


def _day_row(day: date, coverage: Coverage) -> Mapping[str, Any]:
    key = day.isoformat()
    rejected = coverage.rejected.get(key, 0)
    return {
        "call_day": day,
        "calls_count": coverage.counts.get(key, coverage.other_names.get(key, 0)) - rejected,
        "rejected_count": rejected,
        "unfinished_count": coverage.unfinished.get(key, 0),
        "is_settled": day in coverage.settled,
        "offered_less_count": coverage.offered_less.get(key),
    }


def _removal_rows(schema: pa.Schema, days: Sequence[date], fixed: Mapping[str, Any]) -> pa.Table | None:
    """One row per day that marks it as to be emptied. Columns that must not be null are filled, and never stored."""
    if not days:
        return None
    filler = {pa.string(): "", pa.bool_(): False}
    rows = []
    for day in days:
        midnight = datetime.combine(day, time(), UTC)
        required = {f.name: filler.get(f.type, midnight) for f in schema if not f.nullable}
        rows.append({**required, **fixed, "call_day": day, REMOVED: True})
    return pa.Table.from_pylist(rows, schema=schema.append(pa.field(REMOVED, pa.bool_())))
