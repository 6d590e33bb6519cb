"""The dlt source: user, queue and ring-group calls, rejected records, loaded days, system status, accounts.

A package holds whole days, and a load replaces whole days: `merge` by `delete-insert` on account and UTC date, without
a primary key, because the PBX's records have none. That keeps calls that look alike, brings in what changed in a call
since, and can be repeated. A day to be left empty comes as one row marked `is_removed`, which deletes and stays out.

What is covered goes into the source's state, which dlt commits with the rows.

Data flow: PBX lists → `reading.Package` → these resources → `raw.*`
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from itertools import chain
from typing import Any

import dlt
import pyarrow as pa
from dlt.extract import DltResource

from pipelines.voipcloud import records
from pipelines.voipcloud.coverage import Coverage
from pipelines.voipcloud.packages import Package
from pipelines.voipcloud.schemas import ENDPOINTS, SCHEMAS

REMOVED = "is_removed"
WRITTEN_ROWS = 20_000  # at once: dlt looks at each table it is given, which costs as much as writing a page
REMOVABLE: Any = {REMOVED: {"hard_delete": True}}  # without a type: the column is made when it is first needed
DELETE_INSERT: Any = {"disposition": "merge", "strategy": "delete-insert"}

TABLES = (*ENDPOINTS, "rejected_records", "loaded_days", "accounts", "system_status")


@dataclass(frozen=True)
class Status:
    """What the NOC reported: the status in a word, where it has one, and the whole answer as JSON."""

    checked_at: datetime
    status: str | None
    payload: str


@dlt.source(name="voipcloud", max_table_nesting=0)
def voipcloud(
    account: str,
    timezone: str,
    package: Package,
    reading: Iterator[None],
    status: Status | None,
    loaded_at: datetime,
    missing_tables: Collection[str] = (),
    *,
    is_new: bool = False,
) -> Iterator[DltResource]:
    """One package of one account, which `reading` fills while it is being written.

    The order of the resources is the order in which they are drawn: what speaks of the package comes after its calls.
    `missing_tables` are made even if nothing goes into them yet. Where the warehouse `is_new`, there is nothing to
    replace.
    """
    disposition: Any = "append" if is_new else DELETE_INSERT
    made = [name for name in ENDPOINTS if name in missing_tables]
    yield dlt.resource(
        _calls(account, package, reading, loaded_at, made),
        name="calls",
        merge_key=("account", "call_day"),
        write_disposition=disposition,
        columns=REMOVABLE,
    )
    yield dlt.resource(
        _rejected(account, package, loaded_at),
        name="rejected_records",
        merge_key=("account", "endpoint", "call_day"),
        write_disposition=disposition,
        columns=REMOVABLE,
    )
    yield dlt.resource(
        _loaded_days(package),
        name="loaded_days",
        primary_key=("account", "endpoint", "call_day"),
        write_disposition=disposition,
    )
    yield dlt.resource(
        [_table(SCHEMAS["accounts"], account=account, timezone=timezone, loaded_at=loaded_at)],
        name="accounts",
        primary_key="account",
        write_disposition=disposition,
    )
    if status is not None or "system_status" in missing_tables:
        yield dlt.resource(_statuses(account, status), name="system_status", write_disposition="append")
    yield dlt.resource(_remember(package), name="coverage")


def read_coverage(state: Mapping[str, Any]) -> dict[str, Coverage]:
    """Coverage by endpoint from a pipeline's state."""
    stored = state.get("sources", {}).get("voipcloud", {}).get("coverage", {})
    return {endpoint: Coverage.from_state(value) for endpoint, value in stored.items()}


def _calls(
    account: str, package: Package, reading: Iterator[None], loaded_at: datetime, made: Sequence[str]
) -> Iterator[Any]:
    for endpoint in made:
        yield dlt.mark.with_table_name(SCHEMAS[endpoint].empty_table(), endpoint)
    for _ in chain([None], reading):  # what was read before this began comes first
        yield from _taken(package, WRITTEN_ROWS)
    yield from _taken(package, 1)
    for endpoint, days in package.emptied.items():
        removed = _removal_rows(SCHEMAS[endpoint], days, {"account": account, "loaded_at": loaded_at})
        yield dlt.mark.with_table_name(removed, endpoint)


def _taken(package: Package, rows: int) -> Iterator[Any]:
    for endpoint, table in package.take_tables(rows):
        yield dlt.mark.with_table_name(table, endpoint)


def _rejected(account: str, package: Package, loaded_at: datetime) -> Iterator[pa.Table]:
    yield records.rejected_table(package.rejected)
    for endpoint, days in package.cleared.items():
        fixed = {"account": account, "endpoint": endpoint, "loaded_at": loaded_at}
        yield _removal_rows(SCHEMAS["rejected_records"], days, fixed)


def _loaded_days(package: Package) -> Iterator[pa.Table]:
    yield pa.Table.from_pylist(package.loaded_days, schema=SCHEMAS["loaded_days"])


def _statuses(account: str, status: Status | None) -> Iterator[pa.Table]:
    schema = SCHEMAS["system_status"]
    yield schema.empty_table() if status is None else _table(schema, account=account, **vars(status))


def _remember(package: Package) -> Iterator[Any]:
    state = dlt.current.source_state().setdefault("coverage", {})
    for endpoint, known in package.coverage.items():
        state[endpoint] = known.to_state()
    yield from ()


def _removal_rows(schema: pa.Schema, days: Sequence[date], fixed: Mapping[str, Any]) -> pa.Table:
    """One row a day that marks it as to be left empty; what must not be null is filled, and never stored."""
    filler = {pa.string(): "", pa.bool_(): False}
    rows = []
    for day in days:
        midnight = datetime.combine(day, time(), UTC)
        required = {f.name: filler.get(f.type, midnight) for f in schema if not f.nullable}
        rows.append({**required, **fixed, "call_day": day, REMOVED: True})
    return pa.Table.from_pylist(rows, schema=schema.append(pa.field(REMOVED, pa.bool_())))


def _table(schema: pa.Schema, **row: Any) -> pa.Table:
    return pa.Table.from_pylist([row], schema=schema)
