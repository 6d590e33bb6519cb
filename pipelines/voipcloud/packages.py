"""A package: whole days of one account, loaded at once together with the coverage that speaks of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import pyarrow as pa

from pipelines.errors import CallsError
from pipelines.voipcloud.coverage import DAY, Coverage
from pipelines.voipcloud.records import Page


@dataclass
class Package:
    """What has been read of one account, by endpoint, and how the reading ended."""

    tables: dict[str, list[pa.Table]] = field(default_factory=dict)  # not taken yet
    rows: dict[str, int] = field(default_factory=dict)  # taken
    rejected: list[dict[str, Any]] = field(default_factory=list)
    loaded_days: list[dict[str, Any]] = field(default_factory=list)
    emptied: dict[str, list[date]] = field(default_factory=dict)  # days to leave without calls
    cleared: dict[str, list[date]] = field(default_factory=dict)  # days to leave without rejected records
    coverage: dict[str, Coverage] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    error: CallsError | None = None
    done: bool = False

    def take_tables(self, rows: int = 1) -> list[tuple[str, pa.Table]]:
        """The calls that were not taken yet, a table an endpoint, of the endpoints with at least so many."""
        enough = [name for name, tables in self.tables.items() if sum(table.num_rows for table in tables) >= rows]
        # in one piece each: days apart are written as slowly as they are many
        taken = [(endpoint, pa.concat_tables(self.tables.pop(endpoint)).combine_chunks()) for endpoint in enough]
        for endpoint, table in taken:
            self.rows[endpoint] = self.rows.get(endpoint, 0) + table.num_rows
        return taken

    def put_day(
        self,
        account: str,
        endpoint: str,
        day: date,
        pages: Sequence[Page],
        before: Coverage,
        loaded_at: datetime,
        *,
        keeps_rejected: bool = False,
    ) -> None:
        """One whole day's records; `before` says what is stored of it, and so has to go where nothing replaces it.

        `keeps_rejected`: there are none, and those that are stored stay.
        """
        key = day.isoformat()
        tables = [page.table for page in pages if page.table.num_rows]
        rejected = [bad for page in pages for bad in (*page.rejected, *page.unplaced)]
        self.tables.setdefault(endpoint, []).extend(tables)
        said: dict[str, Any] = {"account": account, "endpoint": endpoint, "call_day": day, "loaded_at": loaded_at}
        self.rejected += [{**said, "reason": bad.reason, "record": bad.record} for bad in rejected]
        if not tables and (key in before.counts or key in before.other_names):
            self.emptied.setdefault(endpoint, []).append(day)
        if not rejected and not keeps_rejected and (key in before.rejected or key in before.unplaced):
            self.cleared.setdefault(endpoint, []).append(day)

    def tell_days(
        self,
        account: str,
        endpoint: str,
        filled: set[date],
        span: tuple[date, date],
        coverage: Coverage,
        loaded_at: datetime,
    ) -> None:
        """Rows for `raw.loaded_days`: days with calls now or before, and those without, back to the oldest call.

        `coverage` is what was known after the half-open `span` of days was read.
        """
        self.coverage[endpoint] = coverage
        first, end = max(span[0], coverage.first_day or span[1]), min(span[1], loaded_at.date() + DAY)
        said = {"account": account, "endpoint": endpoint, "loaded_at": loaded_at}
        days = filled | {first + n * DAY for n in range((end - first).days)}
        self.loaded_days += [{**said, **_day_row(day, coverage)} for day in sorted(days)]


def _day_row(day: date, coverage: Coverage) -> Mapping[str, Any]:
    key = day.isoformat()
    rejected = coverage.rejected.get(key, 0)
    return {
        "call_day": day,
        "calls_count": coverage.counts.get(key, coverage.other_names.get(key, 0)) - rejected,
        "rejected_count": rejected + coverage.unplaced.get(key, 0),
        "unfinished_count": coverage.unfinished.get(key, 0),
        "is_settled": day in coverage.settled,
        "offered_less_count": coverage.offered_less.get(key),
    }
