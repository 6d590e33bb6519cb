"""DuckDB or Postgres: the one place that knows which. Opens it, loads packages into `raw`, reads the state back.

The destination is the truth: each run begins by restoring state and schema from it, and drops what an earlier run had
extracted and not loaded. So a run killed between two of dlt's steps, a deleted warehouse, or one restored from a backup
can leave neither a gap nor a doubled row; it costs reading one package again.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import dlt
import duckdb
import psycopg2
import pyarrow.parquet as pq
from dlt.common.destination.exceptions import DestinationException
from dlt.common.exceptions import DltException
from dlt.pipeline.exceptions import PipelineStepFailed

from pipelines.errors import CallsError, SettingsError, WarehouseLocked
from pipelines.files import full_path, home
from pipelines.voipcloud import TABLES, Status, read_coverage, voipcloud
from pipelines.voipcloud.coverage import Coverage
from pipelines.voipcloud.packages import Package
from pipelines.voipcloud.settings import Account
from pipelines.warehouse import postgres

DATASET = "raw"
# What stands before a dot in SQL beside the file's own name: schemas, the readers' copy, DuckDB's own.
RESERVED_NAMES = {"raw", "staging", "intermediate", "marts", "seeds", "readers", "system", "temp"}
GLANCE_SECONDS = 3.0  # `status` has the warehouse open for a moment
Engine = Literal["duckdb", "postgres"]
Step = Literal["restore", "write"]
# What the loads rely on, wherever `calls` is run from; the environment can still say otherwise.
DLT_CONFIG = {
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "CRITICAL",  # its errors come with tracebacks that may quote rows; ours say what to do
    "NORMALIZE__PARQUET_NORMALIZER__ADD_DLT_LOAD_ID": "true",
    "LOAD__TRUNCATE_STAGING_DATASET": "true",  # calls stand in `raw` once, and not in a copy as well
    "LOAD__DELETE_COMPLETED_JOBS": "true",  # nor in files of the working folder
    "LOAD__RAISE_ON_MAX_RETRIES": "3",
    "EXTRACT__NEXT_ITEM_MODE": "fifo",  # what speaks of a package is written after its calls are read
    "RUNTIME__INTERCEPT_SIGNALS": "false",  # a signal ends the reading, and lets the load finish
}
# What both read fastest. Postgres takes Parquet through ADBC; dlt's CSV would also turn an empty text into null.
FILE_FORMATS: dict[Engine, Any] = {"duckdb": "parquet", "postgres": "parquet"}


@dataclass(frozen=True)
class Target:
    """Where to load: a DuckDB file, or a Postgres URL, which is not shown because it holds a password.

    DuckDB lets one process write. In the others `ask_writer` has it take a step with an account's pipeline.
    """

    engine: Engine
    credentials: str
    ask_writer: Callable[[Step, str], None] | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        return f"Target({self.engine})"

    @property
    def path(self) -> Path:
        """The DuckDB file."""
        return Path(self.credentials)

    @property
    def shown(self) -> str:
        """What to call it in a message."""
        return self.path.name if self.engine == "duckdb" else "the Postgres warehouse"


def configure_dlt() -> None:
    """Sets what the loads rely on, unless the environment already does."""
    for name, value in DLT_CONFIG.items():
        os.environ.setdefault(name, value)


def read_target(engine: Engine) -> Target:
    """The destination by dlt's own settings: `destination.<engine>.credentials`."""
    credentials: Any = dlt.secrets.get(f"destination.{engine}.credentials")
    credentials = credentials or dlt.config.get(f"destination.{engine}.credentials")
    if engine == "duckdb":
        text = str(credentials or "warehouse.duckdb").removeprefix("duckdb:///")
        path = full_path(text)
        _check_path(path)
        return Target(engine, str(path))
    if not credentials:
        raise SettingsError(
            'The Postgres warehouse has no address. Set credentials = "postgresql://…" in [destination.postgres] of '
            ".dlt/secrets.toml, or DESTINATION__POSTGRES__CREDENTIALS."
        )
    postgres.parse_url(str(credentials))
    return Target(engine, str(credentials))


def _check_path(path: Path) -> None:
    """DuckDB names a warehouse by its file, and dlt and dbt write paths into SQL as they are."""
    if path.stem.lower() in RESERVED_NAMES:
        raise SettingsError(
            f"The warehouse cannot be named {path.name}: '{path.stem.lower()}' means something else in SQL. Choose "
            "another name in credentials of [destination.duckdb], or DESTINATION__DUCKDB__CREDENTIALS."
        )
    for place in (path, home()):
        if "'" in str(place):
            raise SettingsError(
                f"The path {place} holds a ', which SQL takes for an end. Put warehouse and CALLS_HOME elsewhere."
            )


@contextmanager
def hold_in_warehouse(account: str, target: Target) -> Iterator[None]:
    """One load of an account at a time, whatever hosts share the warehouse. A DuckDB file has one writer anyway."""
    with postgres.hold_account(target.credentials, account) if target.engine == "postgres" else nullcontext():
        yield


@contextmanager
def open_for_writing(target: Target) -> Iterator[None]:
    """Holds the warehouse open, so that nobody else can lock it while a run spends budget.

    Raises `WarehouseLocked` or `SettingsError` before the first request. DuckDB shares one file among the connections
    of one process. A Postgres locks nobody out; `restore_pipeline` is what tries it.
    """
    if target.engine == "postgres" or target.ask_writer is not None:
        yield
        return
    until = time.monotonic() + GLANCE_SECONDS
    while True:
        try:
            _make_file(target.path)
            connection = duckdb.connect(target.credentials)
            break
        except (duckdb.Error, OSError) as error:
            if not _is_lock(error) or time.monotonic() > until:
                raise _cannot_open(target, error) from None
        time.sleep(0.1)
    try:
        yield
    finally:
        connection.close()


def _make_file(path: Path) -> None:
    """Makes the whole file under another name first: one that a full disk or a kill cut short cannot be opened."""
    if path.exists():
        return
    with tempfile.TemporaryDirectory(prefix=".calls-", dir=path.parent) as folder:
        draft = Path(folder) / path.name
        duckdb.connect(draft).close()
        with suppress(FileExistsError):  # another process was first
            os.link(draft, path)


def restore_pipeline(account: str, target: Target) -> dlt.Pipeline:
    """The account's pipeline with state and schema as the destination has them, and nothing pending."""
    folder = home() / "dlt"
    if target.ask_writer is not None:
        target.ask_writer("restore", account)
        return _pipeline(account, target, folder)
    if target.engine == "postgres":
        postgres.connect(target.credentials).close()  # dlt's own error would not tell what is wrong
    shutil.rmtree(folder / _pipeline_name(account), ignore_errors=True)
    with _load_errors(target):
        pipeline = _pipeline(account, target, folder)
        if not _is_new(pipeline):
            pipeline.sync_destination()
    return pipeline


def restore_coverage(account: str, target: Target, folder: Path) -> dict[str, Coverage]:
    """Coverage by endpoint, read from the destination into an empty folder, apart from any load."""
    with open_for_writing(target), _load_errors(target):
        pipeline = _pipeline(account, target, folder)
        pipeline.sync_destination()
    return coverage_of(pipeline)


def coverage_of(pipeline: dlt.Pipeline) -> dict[str, Coverage]:
    """Coverage by endpoint, as the warehouse has it."""
    return read_coverage(pipeline.state)


def load_package(
    pipeline: dlt.Pipeline,
    target: Target,
    account: Account,
    package: Package,
    reading: Iterator[None],
    status: Status | None,
) -> None:
    """Loads a package in one go, while `reading` goes on filling it. On an error the next run reads it again."""
    there: Collection[str] = pipeline.default_schema.tables if pipeline.default_schema_name else ()
    missing = [name for name in TABLES if name not in there]
    with _load_errors(target):
        source = voipcloud(
            account.name,
            account.timezone,
            package,
            reading,
            status,
            datetime.now(UTC),
            missing,
            is_new=target.ask_writer is None and not there and _is_new(pipeline),
        )
        pipeline.extract(source, loader_file_format=FILE_FORMATS[target.engine])
        pipeline.normalize()
        if target.engine == "postgres":
            _drop_empty_files(pipeline)
    if target.ask_writer is not None:
        target.ask_writer("write", account.name)
    else:
        _write(pipeline, target)


def _is_new(pipeline: dlt.Pipeline) -> bool:
    """Whether nothing was ever loaded, so that no row can be doubled by a load that replaces none."""
    with pipeline.sql_client() as client:
        return not client.has_dataset()


def _drop_empty_files(pipeline: dlt.Pipeline) -> None:
    """Takes out of the package what brings no row: dlt's ADBC job fails on it. The tables are made all the same."""
    for load_id in pipeline.list_normalized_load_packages():
        for job in pipeline.get_load_package_info(load_id).jobs["new_jobs"]:
            path = Path(job.file_path)
            if path.suffix == ".parquet" and pq.read_metadata(path).num_rows == 0:
                path.unlink()


def answer(step: Step, account: str, target: Target) -> None:
    """Does what another process asked for: restores the account's working folder, or writes what lies ready in it."""
    if step == "restore":
        restore_pipeline(account, target)
    else:
        with _load_errors(target):
            pipeline = _pipeline(account, target, home() / "dlt")
        _write(pipeline, target)


def _write(pipeline: dlt.Pipeline, target: Target) -> None:
    with _load_errors(target):
        if target.engine == "postgres":
            # Accounts load side by side, but two that make or alter one table at once would fail.
            with postgres.hold(target.credentials, "definitions", wait=True) as cursor:
                pipeline.sync_schema()
                postgres.index_days(cursor, DATASET)
        pipeline.load()
        if target.engine == "duckdb":
            _checkpoint(target)


def _checkpoint(target: Target) -> None:
    """Moves what was loaded from the log, which DuckDB holds in memory too, into the file: dlt waits for a GB of it."""
    with duckdb.connect(target.credentials) as connection, suppress(duckdb.TransactionException):  # another one writes
        connection.execute("checkpoint")


def read_local_state(account: str) -> Mapping[str, Any]:
    """The state as of the last package on this machine, readable while a load is running; empty if there is none."""
    folder = home() / "dlt"
    if not (folder / _pipeline_name(account) / "state.json").exists():
        return {}
    try:
        return dict(dlt.attach(_pipeline_name(account), pipelines_dir=str(folder)).state)
    except (DltException, OSError):  # it is being replaced this moment
        return {}


def _pipeline_name(account: str) -> str:
    return f"calls_{account}"


def _pipeline(account: str, target: Target, folder: Path) -> dlt.Pipeline:
    # A staging dataset for each account: merges that share one lose and double rows when they run side by side.
    layout = f"%s_staging_{account}"
    if target.engine == "duckdb":
        destination: Any = dlt.destinations.duckdb(target.credentials, staging_dataset_name_layout=layout)
    else:
        destination = dlt.destinations.postgres(
            postgres.as_credentials(target.credentials), staging_dataset_name_layout=layout
        )
    return dlt.pipeline(
        _pipeline_name(account), pipelines_dir=str(folder), destination=destination, dataset_name=DATASET
    )


@contextmanager
def _load_errors(target: Target) -> Iterator[None]:
    """dlt's and the database's errors in a line; their own text may quote rows."""
    try:
        yield
    except (PipelineStepFailed, DestinationException, DltException, duckdb.Error, psycopg2.Error, OSError) as error:
        cause: BaseException = error
        while (deeper := getattr(cause, "exception", None) or cause.__cause__) is not None:
            cause = deeper
        if _is_lock(cause):
            raise _cannot_open(target, cause) from None
        raise CallsError(
            f"{target.shown} did not take the package ({type(cause).__name__}). What was loaded before stands, and the "
            "next run reads this package again. Is the disk full, the connection gone, or a table altered by hand?"
        ) from None


def _is_lock(error: BaseException) -> bool:
    return isinstance(error, duckdb.IOException) and "set lock on file" in str(error)


def _cannot_open(target: Target, error: BaseException) -> CallsError:
    if _is_lock(error):
        return WarehouseLocked(
            f"{target.shown} is open in another program, and DuckDB lets one write or many read, never both. Close it "
            "there (dashboards belong on published/calls.duckdb) and run again. No request was spent on this."
        )
    return SettingsError(
        f"The warehouse {target.path.name} cannot be opened ({type(error).__name__}). Check that its folder exists and "
        "is yours, that the file is a DuckDB database, and credentials in [destination.duckdb]."
    )
