"""One dlt pipeline per account: made, restored from the destination, and run for one package.

The destination is the truth: each load begins by restoring state and schema from it, and drops what an earlier run had
extracted and not loaded. So a run killed between two of dlt's steps, a deleted warehouse, or one restored from a backup
can leave neither a gap nor a doubled row; it costs reading one package again.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import dlt
import duckdb as duckdb_driver
import psycopg2
from dlt.common.destination import Destination
from dlt.common.destination.exceptions import UnknownDestinationModule
from dlt.common.exceptions import DltException
from dlt.extract import DltSource
from dlt.extract.exceptions import ResourceExtractionError

from pipelines.errors import CallsError, SettingsError, did_you_mean
from pipelines.files import home
from pipelines.voipcloud import DELETE_INSERT, check_destination
from pipelines.voipcloud.dlt_settings import add_our_settings
from pipelines.voipcloud.schemas import SQL_TABLES
from pipelines.warehouse import (
    DATASET,
    ENGINES,
    Target,
    create_missing,
    duckdb,
    open_for_writing,
    postgres,
    read_target,
)

Step = Literal["restore", "write"]
AskWriter = Callable[[Step, str], None]  # has the process that writes take a step for an account
# What both read fastest. Postgres takes Parquet through ADBC; dlt's CSV would also turn an empty text into null.
FILE_FORMATS: dict[str, Any] = {"duckdb": "parquet", "postgres": "parquet"}


def pipeline(
    account: str = "main", destination: str | Target = "duckdb", *, folder: Path | None = None
) -> dlt.Pipeline:
    """The account's own dlt pipeline, `calls_<account>`, into the dataset `raw`.

    Its staging dataset is its own, too: merges that share one lose and double rows when they run side by side. `folder`
    holds dlt's working files. Raises `SettingsError` for a destination that cannot replace whole days.
    """
    add_our_settings()
    target = read_target(destination) if isinstance(destination, str) else destination
    layout = f"%s_staging_{account}"
    if target.engine == "duckdb":
        factory: Any = dlt.destinations.duckdb(target.credentials, staging_dataset_name_layout=layout)
    elif target.engine == "postgres":
        credentials = postgres.as_credentials(target.credentials)
        factory = dlt.destinations.postgres(credentials, staging_dataset_name_layout=layout)
    else:
        factory = _other_destination(target.engine, layout)
    return dlt.pipeline(
        _name(account), pipelines_dir=str(folder or home() / "dlt"), destination=factory, dataset_name=DATASET
    )


def find_target(name: str) -> Target:
    """The destination that a user named; it is opened for a moment if it is neither DuckDB nor Postgres.

    Raises `SettingsError` if it is unknown, not installed, cannot replace whole days, or cannot be opened.
    """
    target = read_target(name)
    if target.engine in ENGINES:
        return target
    try:
        with tempfile.TemporaryDirectory(prefix="calls-") as folder:
            pipeline("main", target, folder=Path(folder)).sync_destination()
    except (DltException, ImportError) as error:
        kind = type(_causes(error)[-1]).__name__
        raise SettingsError(
            f"{target.shown} cannot be opened ({kind}). Is it running, are its settings in [destination.{name}] right, "
            f"and is it installed: pip install 'dlt[{name}]'?"
        ) from None
    return target


def restore(account: str, target: Target, ask_writer: AskWriter | None) -> dlt.Pipeline:
    """The account's pipeline with state and schema as the destination has them, and nothing pending."""
    if ask_writer is not None:
        ask_writer("restore", account)
        return pipeline(account, target)
    if target.engine == "postgres":
        postgres.connect(target.credentials).close()  # dlt's own error would not say what is wrong
    shutil.rmtree(home() / "dlt" / _name(account), ignore_errors=True)
    with load_errors(target):
        restored = pipeline(account, target)
        if target.engine not in ENGINES or not _is_new(restored):
            restored.sync_destination()
    return restored


def read_destination(account: str, target: Target, folder: Path) -> Mapping[str, Any]:
    """The pipeline's state as the destination has it, read into an empty folder, apart from any load."""
    with open_for_writing(target), load_errors(target):
        restored = pipeline(account, target, folder=folder)
        restored.sync_destination()
    return restored.state


def read_local_state(account: str) -> Mapping[str, Any]:
    """The state as of the last package on this machine, readable while a load is running; empty if there is none."""
    folder = home() / "dlt"
    if not (folder / _name(account) / "state.json").exists():
        return {}
    try:
        return dict(dlt.attach(_name(account), pipelines_dir=str(folder)).state)
    except (DltException, OSError):  # it is being replaced this moment
        return {}


def run_package(restored: dlt.Pipeline, target: Target, source: DltSource, ask_writer: AskWriter | None) -> None:
    """Runs the source once and loads its package. Raises what the source met, or why the warehouse took no package."""
    there = restored.default_schema.tables if restored.default_schema_name else ()
    is_new = target.engine in ENGINES and ask_writer is None and not there and _is_new(restored)
    for resource in source.selected_resources.values():
        if resource.name != "system_status":
            # where nothing was ever loaded, no day has to be replaced, and a staging copy would cost as much again
            resource.apply_hints(write_disposition="append" if is_new else DELETE_INSERT)
    with load_errors(target):
        restored.extract(source, loader_file_format=FILE_FORMATS.get(target.engine))
        restored.normalize()
    if ask_writer is not None:
        ask_writer("write", str(restored.pipeline_name).removeprefix("calls_"))
    else:
        _write(restored, target)


def take_step(step: Step, account: str, target: Target) -> None:
    """Does what another process asked for: restores the account's working folder, or writes what lies ready in it."""
    if step == "restore":
        restore(account, target, None)
    else:
        with load_errors(target):
            ready = pipeline(account, target)
        _write(ready, target)


@contextmanager
def load_errors(target: Target) -> Iterator[None]:
    """Raises the source's error within dlt's as itself, others in a line of ours: their own text may quote rows."""
    try:
        yield
    except (DltException, duckdb_driver.Error, psycopg2.Error, OSError) as error:
        *around, cause = _causes(error)
        if isinstance(cause, CallsError) or any(isinstance(one, ResourceExtractionError) for one in around):
            raise cause from None
        if duckdb.is_lock(cause):
            raise duckdb.cannot_open(target.path, cause) from None
        raise CallsError(
            f"{target.shown} did not take the package ({type(cause).__name__}). What was loaded before stands, and the "
            "next run reads this package again. Is the disk full, the connection gone, or a table altered by hand?"
        ) from None


def _causes(error: BaseException) -> list[BaseException]:
    """What dlt wrapped, from the outermost error to the innermost."""
    causes = [error]
    while (deeper := getattr(causes[-1], "exception", None) or causes[-1].__cause__) is not None:
        causes.append(deeper)
    return causes


def _name(account: str) -> str:
    return f"calls_{account}"


def _is_new(restored: dlt.Pipeline) -> bool:
    """Whether nothing was ever loaded, so that no row can be doubled by a load that replaces none."""
    with restored.sql_client() as client:
        return not client.has_dataset()


def _write(ready: dlt.Pipeline, target: Target) -> None:
    with load_errors(target):
        if target.engine == "postgres":
            # Accounts load side by side, but two that make or alter one table at once would fail.
            with postgres.hold(target.credentials, "definitions", wait=True) as cursor:
                ready.sync_schema()
                create_missing(target, DATASET, SQL_TABLES)
                postgres.index_days(cursor, DATASET)
        ready.load()
        if target.engine == "duckdb":
            create_missing(target, DATASET, SQL_TABLES)
            duckdb.checkpoint(target.path)


def _other_destination(name: str, layout: str) -> Any:
    try:
        factory: Any = Destination.from_reference(name, staging_dataset_name_layout=layout)
    except UnknownDestinationModule:
        known = {*dlt.destinations.__all__} - {"destination"}
        raise SettingsError(f"dlt has no destination '{name}'{did_you_mean(name, known)}") from None
    check_destination(factory.capabilities(), name)
    return factory
