"""The night and its steps: `calls run`, `load`, `build`, `publish`, `report`."""

from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import click

from pipelines.cli.options import (
    Parsed,
    Word,
    account_option,
    any_destination_option,
    destination_option,
    jobs_option,
    json_option,
    on_budget_option,
)
from pipelines.cli.output import (
    emit,
    finish,
    print_loads,
    print_models,
    print_night,
    print_published,
    say_warning,
    write,
)
from pipelines.cli.progress import watch_build, watch_loads
from pipelines.cli.signals import watch_signals
from pipelines.errors import CallsError, UnexpectedError, UsageError
from pipelines.load.account import LoadOptions
from pipelines.load.pipeline import find_target
from pipelines.nightly import NightResult, build, load_accounts, load_errors, log_night, run_night
from pipelines.nightly.log import open_log
from pipelines.nightly.notify import notify
from pipelines.publish import publish
from pipelines.report import write_report
from pipelines.voipcloud.coverage import DAY, DateRange
from pipelines.voipcloud.schemas import ENDPOINTS
from pipelines.voipcloud.setting_values import parse_day
from pipelines.voipcloud.settings import read_sound_accounts
from pipelines.warehouse import read_target


@click.command()
@account_option
@on_budget_option
@destination_option
@jobs_option
@json_option
def run(accounts: tuple[str, ...], on_budget: Any, destination: Any, jobs: int, as_json: bool) -> None:
    """The nightly job: load, build, publish, report. Writes a log, and notifies when it fails."""
    with open_log() as log:

        def warn(text: str) -> None:
            log.warning(text)
            say_warning(text)

        log.info("calls run begins")
        night = NightResult()
        try:
            target, (sound, wrong) = read_target(destination), read_sound_accounts(accounts)
            with watch_signals() as stop, watch_loads(stop) as observer, watch_build() as on_model:
                night = run_night(sound, target, LoadOptions(on_budget=on_budget), observer, on_model, jobs, wrong)
        except CallsError as error:  # of the settings: nothing was run
            night.errors.append(error)
        except Exception as error:
            log.critical("the run broke: %s", type(error).__name__)
            night.errors.append(UnexpectedError.wrap(error, "The run"))
            notify(night, warn)
            raise
        notify(night, warn)
        log_night(night, log)
    emit(night, as_json, lambda: print_night(night) if night.loads else None)
    finish(night.errors)


@click.command()
@account_option
@click.option("--endpoint", "endpoints", multiple=True, type=Word(ENDPOINTS), help="Only this list; repeatable.")
@click.option("--from", "first", type=Parsed("day", parse_day), help="Read again from this UTC day, settled or not.")
@click.option("--to", "last", type=Parsed("day", parse_day), help="Read again up to and including this UTC day.")
@on_budget_option
@click.option("--allow-shrink", is_flag=True, help="Replace days of which the PBX offers fewer calls than are stored.")
@any_destination_option
@jobs_option
@json_option
def load(
    accounts: tuple[str, ...],
    endpoints: tuple[str, ...],
    first: date | None,
    last: date | None,
    on_budget: Any,
    allow_shrink: bool,
    destination: str,
    jobs: int,
    as_json: bool,
) -> None:
    """Read what is missing from the PBX into the raw tables."""
    options = LoadOptions(endpoints or ENDPOINTS, _days_again(first, last), on_budget, allow_shrink)
    target, (sound, wrong) = find_target(destination), read_sound_accounts(accounts)
    with watch_signals() as stop, watch_loads(stop) as observer:
        loads = load_accounts(sound, target, options, observer, jobs, wrong)
        stopped = stop()
    emit({"loads": loads}, as_json, partial(print_loads, loads))
    finish(load_errors(loads, stopped))


@click.command("build")
@click.option("--full-refresh", is_flag=True, help="Build everything anew, not only what was loaded since.")
@destination_option
@json_option
def build_marts(full_refresh: bool, destination: Any, as_json: bool) -> None:
    """Build the SQL models on what was loaded, and test them."""
    with watch_build() as on_model:
        models = build(read_target(destination), on_model, full_refresh=full_refresh)
    emit({"models": models}, as_json, partial(print_models, models))


@click.command("publish")
@destination_option
@json_option
def publish_marts(destination: Any, as_json: bool) -> None:
    """Swap in the readers' copy: published/calls.duckdb, and Parquet files beside it."""
    published = publish(read_target(destination))
    emit(published, as_json, partial(print_published, published))


@click.command("report")
@click.option("--show-numbers", is_flag=True, help="Callers' whole numbers in the list to call back.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="The file to write, instead of published/."
)
@destination_option
def make_report(show_numbers: bool, out: Path | None, destination: Any) -> None:
    """Write one HTML file of the published marts, to open or to mail. It needs no network."""
    write(f"The report: {write_report(read_target(destination), out, show_numbers=show_numbers)}")


def _days_again(first: date | None, last: date | None) -> DateRange | None:
    if first is None and last is None:
        return None
    if first and last and first > last:
        raise UsageError(f"--from {first} is after --to {last}.")
    return DateRange(first, last + DAY if last else None)
