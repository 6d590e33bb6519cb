"""The dlt source: a VoIPcloud PBX's user, queue and ring-group calls, its accounts and its system status.

    pipeline = dlt.pipeline("calls_main", destination="duckdb", dataset_name="raw")
    pipeline.run(voipcloud())

Each list is a resource that pages newest first and yields Arrow tables of whole days. A load replaces whole days
(`merge` by `delete-insert` on account and UTC date, no primary key), because records have no id: that keeps calls that
look alike, brings in what changed in a call since, and can be repeated. What is covered lies in the list's state, which
dlt commits with the rows.

One run is one package: it ends when the budget or `package_pages` is used up, with what is whole loaded. Run it again
while `source.outcome.has_more`.

Data flow: client → paging → records → reader (whole days) → these resources → raw.*
Source: the vendor's article, version 1 of the API.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from weakref import finalize

import dlt
import pyarrow as pa
from dlt.common.configuration.container import Container
from dlt.common.configuration.exceptions import ContextDefaultCannotBeCreated
from dlt.common.configuration.specs import BaseConfiguration, configspec
from dlt.common.destination import DestinationCapabilitiesContext
from dlt.common.storages.exceptions import CurrentLoadPackageStateNotAvailable
from dlt.extract import DltResource, DltSource

from pipelines.errors import BudgetSpent, CallsError, SettingsError
from pipelines.voipcloud.client import Client
from pipelines.voipcloud.coverage import Coverage
from pipelines.voipcloud.dlt_settings import add_our_settings
from pipelines.voipcloud.list_state import ListState
from pipelines.voipcloud.package import REMOVED
from pipelines.voipcloud.run import Outcome, ReadOptions, Run
from pipelines.voipcloud.schemas import ENDPOINTS, SCHEMAS
from pipelines.voipcloud.session import Session
from pipelines.voipcloud.settings import read_accounts
from pipelines.voipcloud.system_status import describe_status, is_good

STATUS = "system_status"
STATUS_LASTS = timedelta(minutes=15)  # for a run after one whose package was dropped
WRITTEN_ROWS = 20_000  # at once: dlt looks at each table it is given, which costs as much as writing a page
REMOVABLE: Any = {REMOVED: {"hard_delete": True}}  # without a type: the column is made when it is first needed
DELETE_INSERT: Any = {"disposition": "merge", "strategy": "delete-insert"}
# Tables that every list writes to, by the hints that make them.
SIDE_TABLES: Mapping[str, Mapping[str, Any]] = {
    "rejected_records": {"merge_key": ("account", "endpoint", "call_day"), "primary_key": ()},
    "unplaced_records": {"merge_key": (), "primary_key": ("account", "endpoint", "record_hash")},
    "loaded_days": {"merge_key": (), "primary_key": ("account", "endpoint", "call_day")},
    "lists": {"merge_key": (), "primary_key": ("account", "endpoint")},
}
log = logging.getLogger(__name__)


@configspec
class NoSettings(BaseConfiguration):
    """Nothing is resolved when the source is made: each run reads the settings that it needs."""


class VoipcloudSource(DltSource):
    """A dlt source that says how its last run ended; copies made by `with_resources` share the outcome."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.outcome = Outcome(lists_left=ENDPOINTS)  # until it has run: a run may load what is pending, and end

    def clone(self, with_name: Any = None) -> "VoipcloudSource":
        """As dlt's, but of this class."""
        copy = VoipcloudSource(self.schema.clone(with_name=with_name), self.section, list(self.resources.values()))
        copy.outcome = self.outcome
        return copy


@dlt.source(name="voipcloud", max_table_nesting=0, spec=NoSettings, _impl_cls=VoipcloudSource)
def voipcloud(account: str = "main", options: ReadOptions = ReadOptions()) -> Iterator[DltResource]:  # noqa: B008 -- frozen
    """One PBX, whose settings are `sources.voipcloud.*`, or `sources.voipcloud.accounts.<account>.*`.

    Making it reads no setting and opens nothing. Each run starts afresh, but for the rows of an unfinished day that it
    holds. A run raises a `pipelines.errors.CallsError` (dlt wraps it) only if no day became whole; otherwise the error
    stands in `outcome`.
    """
    add_our_settings()
    runs = _Runs(account, options)
    for endpoint in ENDPOINTS:
        yield dlt.resource(
            _read_list,
            name=endpoint,
            merge_key=("account", "call_day"),
            write_disposition=DELETE_INSERT,
            columns=REMOVABLE,
        )(runs, endpoint)
    yield dlt.resource(_accounts, name="accounts", primary_key="account", write_disposition=DELETE_INSERT)(runs)
    yield dlt.resource(_system_status, name=STATUS, write_disposition="append")(runs)
    for name in SIDE_TABLES:  # these own their tables; the lists write them
        yield dlt.resource([], name=name, selected=False)


def read_lists(state: Mapping[str, Any], account: str) -> dict[str, ListState]:
    """Each list's state by endpoint, from a pipeline's state. Raises `SettingsError` if a newer version wrote it."""
    known = state.get("sources", {}).get("voipcloud", {})
    return {name: _stored(known, name, account, pipeline=f"calls_{account}") for name in ENDPOINTS}


def check_destination(capabilities: DestinationCapabilitiesContext | None, name: str) -> None:
    """Raises `SettingsError` for a destination that would not replace the days which are loaded again."""
    table: Any = {
        "name": ENDPOINTS[0],
        "columns": {},
        "write_disposition": "merge",
        "x-merge-strategy": "delete-insert",
    }
    supported = (capabilities and capabilities.supported_merge_strategies) or []
    if capabilities and capabilities.merge_strategies_selector:
        supported = capabilities.merge_strategies_selector(supported, table_schema=table)
    if "delete-insert" not in supported:
        raise SettingsError(
            f"The destination {name} cannot replace whole days (dlt's merge strategy delete-insert), so each load "
            "would double calls. Choose one that can, such as duckdb, postgres, sqlalchemy or snowflake."
        )


class _Runs:
    """The runs of one source within dlt: which package and which resources each of them belongs to."""

    def __init__(self, account: str, options: ReadOptions) -> None:
        self.account = account
        self.session = Session(options)
        self.load_id = ""
        self.status: pa.Table | None = None  # asked for in a run whose package was dropped
        self._run: Run | None = None

    def enter(self, name: str) -> Run:
        """The run under way, or a new one, for the resource `name`. Raises `SettingsError` before the first request."""
        load_id = _load_id()
        run = self._run
        if run is None or name not in run.waiting or load_id != self.load_id:
            run = self._begin(load_id)
        run.waiting.discard(name)
        return run

    def leave(self, name: str) -> None:
        """Ends a resource; the last one completes the outcome. Raises what the run met if no day became whole."""
        run = self._run
        if run is None or run.leave(name):
            return
        self.session.end(run, self.load_id)
        self.status = None
        outcome = run.outcome
        if outcome.error is not None:
            log.warning("%s: stopped early, with what is whole loaded: %s", self.account, outcome.error)
        elif outcome.has_more:
            log.warning("%s: more is to come of %s: run again.", self.account, ", ".join(outcome.lists_left))

    def _begin(self, load_id: str) -> Run:
        if self._run is not None:
            self._run.client.close()
        self._run = None
        source = dlt.current.source()
        outcome = source.outcome if isinstance(source, VoipcloudSource) else Outcome()
        outcome.clear()
        capabilities, destination = _destination()
        check_destination(capabilities, destination)
        (account,) = read_accounts((self.account,))
        known, selected = dlt.current.source_state(), source.selected_resources
        waiting = set(selected)
        if capabilities is not None and "parquet" in capabilities.supported_loader_file_formats:
            for resource in selected.values():  # the format that keeps an empty text apart from null
                resource.apply_hints(file_format="parquet")
        outcome.lists_left = tuple(name for name in ENDPOINTS if name in selected)
        stored = {name: _stored(known, name, self.account) for name in outcome.lists_left}
        for name, state in stored.items():
            _check_disposition(name, selected[name].write_disposition, state)
        client = Client(account.access, account.open_budget())
        others = [STATUS] if STATUS in selected else []
        self._run = self.session.begin(account, client, stored, outcome, load_id=load_id, others=others)
        self._run.waiting, self.load_id = waiting, load_id
        finalize(self._run, client.close)  # if dlt closes the resources before they have begun
        return self._run


def _read_list(runs: _Runs, endpoint: str) -> Iterator[Any]:
    """One list: a table of whole days or None after each page, which hands the turn over; then the side tables."""
    run = runs.enter(endpoint)
    try:
        reader = runs.session.readers[endpoint]
        while reader.read_page():
            yield reader.package.take_calls(WRITTEN_ROWS)
        yield from _not_empty(reader.package.take_calls(), reader.package.removed_calls(run.now()))
        for name, table in reader.side_tables():
            yield _for_side_table(name, table)
        _own_side_tables()
        dlt.current.resource_state()[runs.account] = reader.next_state(runs.load_id).to_state()
        if _is_of_pipeline(runs.account):
            dlt.current.source_state().get("coverage", {}).pop(endpoint, None)  # the first version's place
    except BaseException:  # closed early, by a limit or by another resource's error
        run.leave(endpoint)
        raise
    runs.leave(endpoint)


def _accounts(runs: _Runs) -> Iterator[pa.Table]:
    """The account and its time zone, in which the marts have their dates."""
    account = runs.enter("accounts").account
    yield _table("accounts", account=account.name, timezone=account.timezone, loaded_at=datetime.now(UTC))


def _system_status(runs: _Runs) -> Iterator[pa.Table]:
    """What the operator reports. Whatever it is, or if it fails, the calls are read."""
    run = runs.enter(STATUS)
    try:
        if runs.status is not None and run.now() - runs.status["checked_at"][0].as_py() > STATUS_LASTS:
            runs.status = None
        if runs.status is None and run.outcome.run_error is None:
            runs.status = _ask_status(run)
    except CallsError as error:
        if not runs.session.readers:
            run.end(error)
        elif not isinstance(error, BudgetSpent):  # the lists report that
            run.warn(f"The system status could not be asked for ({type(error).__name__}).")
    try:
        if runs.status is not None:
            run.outcome.system_status = runs.status["status"][0].as_py()
            yield runs.status
    except BaseException:
        run.leave(STATUS)
        raise
    runs.leave(STATUS)


def _ask_status(run: Run) -> pa.Table:
    word, text = describe_status(run.client.fetch_system_status(), run.account.name)
    if not is_good(word):
        run.warn(f"The PBX's operator reports the status '{word}': calls may be missing on their side.")
    return _table(STATUS, account=run.account.name, checked_at=datetime.now(UTC), status=word, payload=text)


def _for_side_table(name: str, table: pa.Table) -> Any:
    """A table with the hints of `SIDE_TABLES`, written in the way of the list that it comes from."""
    disposition: Any = dlt.current.resource().write_disposition
    hints = dlt.mark.make_hints(table_name=name, write_disposition=disposition, **SIDE_TABLES[name])
    return dlt.mark.with_hints(table, hints, create_table_variant=True)


def _own_side_tables() -> None:
    """Makes each side table its own resource's: dlt gives it to the list that wrote it last, and drops it with that."""
    tables, owners = dlt.current.source_schema().tables, dlt.current.source().resources
    for name in SIDE_TABLES.keys() & tables.keys() & owners.keys():
        tables[name]["resource"] = name


def _stored(known: Mapping[str, Any], endpoint: str, account: str, pipeline: str | None = None) -> ListState:
    """A list's state. In an earlier version it stood in the source's state, for the account of the pipeline's name."""
    state = known.get("resources", {}).get(endpoint, {}).get(account)
    if state is not None or endpoint not in known.get("coverage", {}):
        return ListState.from_state(state or {}, f"{account}: {endpoint}")
    if pipeline == f"calls_{account}" or (_is_of_pipeline(account) and not _is_refreshed(endpoint)):
        return ListState(Coverage.from_old_state(known["coverage"][endpoint]))
    return ListState()


def _is_of_pipeline(account: str) -> bool:
    return bool(dlt.current.pipeline().pipeline_name == f"calls_{account}")


def _is_refreshed(table: str) -> bool:
    """Whether this run drops or empties a table, so that what was known of it counts no more."""
    package: Any = dlt.current.load_package_state()["state"]
    gone = [*package.get("dropped_tables", ()), *package.get("truncated_tables", ())]
    return table in {each["name"] for each in gone}


def _check_disposition(endpoint: str, disposition: Any, stored: ListState) -> None:
    """Raises `SettingsError` for a way to write that would double or lose calls; a new list may be appended."""
    kind = disposition["disposition"] if isinstance(disposition, Mapping) else disposition
    if kind != "merge" and not (kind == "append" and stored.coverage.is_empty):
        raise SettingsError(
            f"{endpoint}: the write disposition {kind} would double or lose calls, because each run brings only some "
            "days. Leave it at the source's own, merge."
        )


def _destination() -> tuple[DestinationCapabilitiesContext | None, str]:
    """What the pipeline's destination can do, and its name."""
    try:
        return Container()[DestinationCapabilitiesContext], str(dlt.current.pipeline().destination.destination_name)
    except ContextDefaultCannotBeCreated:
        return None, "that this pipeline has"


def _load_id() -> str:
    """dlt's name of the package under way; '' if the source is iterated without a pipeline."""
    with suppress(CurrentLoadPackageStateNotAvailable):
        return str(dlt.current.load_package_state()["load_id"])
    return ""


def _not_empty(*tables: pa.Table | None) -> Iterator[pa.Table]:
    yield from (table for table in tables if table is not None)


def _table(name: str, **row: Any) -> pa.Table:
    return pa.Table.from_pylist([row], schema=SCHEMAS[name])
