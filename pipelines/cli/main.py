"""The command line, `calls`. Exit codes: see `pipelines.errors`; 0 is done, 2 is usage."""

import difflib
import logging
import os
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Any

import click
import orjson
from dlt.common.configuration.exceptions import ConfigProviderException

from pipelines.cli import output as screen
from pipelines.cli.completion import completion
from pipelines.cli.doctor import examine
from pipelines.cli.doctor.findings import Finding, describe_finding
from pipelines.cli.examples import add_examples
from pipelines.cli.init import set_up
from pipelines.cli.lost import lost
from pipelines.cli.options import Word, account_option, destination_option, jobs_option, json_option, on_budget_option
from pipelines.cli.sandbox import demo_settings, sandbox
from pipelines.cli.signals import watch_signals
from pipelines.cli.tour import print_tour
from pipelines.errors import CallsError, SettingsError, UnexpectedError, UsageError
from pipelines.files import home
from pipelines.load.account import LoadOptions, describe_status, open_budget
from pipelines.load.status import describe_account, describe_budget
from pipelines.nightly import (
    NightResult,
    build,
    describe_load,
    exit_code,
    load_accounts,
    load_errors,
    log_night,
    run_night,
    summarize,
)
from pipelines.nightly.log import open_log
from pipelines.nightly.notify import read_notify, tell
from pipelines.phone_numbers import mask_number, mask_numbers, parse_number
from pipelines.publish import publish, published_folder
from pipelines.report import load_dashboard, write_report
from pipelines.transform import build_docs
from pipelines.voipcloud.client import Client
from pipelines.voipcloud.coverage import DAY, DateRange, check_day
from pipelines.voipcloud.schemas import ENDPOINTS
from pipelines.voipcloud.settings import Account, read_accounts, read_sound_accounts
from pipelines.warehouse import configure_dlt, open_for_writing, read_target

DAY_TYPE = click.DateTime(["%Y-%m-%d"])


class Commands(click.Group):
    """Suggests the command that was meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        close = difflib.get_close_matches(args[0], self.list_commands(ctx), 1) if args else []
        if args and self.get_command(ctx, args[0]) is None and close:
            raise click.UsageError(f"There is no command '{args[0]}'; did you mean '{close[0]}'?", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="call-warehouse")
def cli() -> None:
    """Copies a VoIPcloud PBX's call records into a warehouse, without losing or doubling one.

    \b
    No account yet?     calls demo
    First time?         calls init       asks for the settings; calls doctor checks them, the key and the warehouse
    Every night:        calls run        load, build, publish, report: reads only what is missing
    Is it all there?    calls status
    Whom to call back?  calls lost
    """


@cli.command()
@account_option
@on_budget_option
@destination_option
@jobs_option
@json_option
def run(accounts: tuple[str, ...], on_budget: Any, destination: Any, jobs: int, as_json: bool) -> None:
    """The nightly job: load, build, publish, report; logged, and told of where it fails."""
    with open_log() as log:
        log.info("calls run begins")
        night = NightResult()
        try:
            target, (found, wrong) = read_target(destination), read_sound_accounts(accounts)
            with watch_signals() as stop, screen.watch_loads(stop) as observer, screen.watch_build() as on_build:
                night = run_night(found, target, LoadOptions(on_budget=on_budget), observer, on_build, jobs, wrong)
        except CallsError as error:  # settings: there was no night
            night.errors.append(error)
        except Exception as error:
            log.critical("the run broke: %s", type(error).__name__)
            night.errors.append(UnexpectedError.wrap(error, "The run"))
            _tell(night, log.warning)
            raise
        _tell(night, log.warning)
        log_night(night, log)
    if as_json:
        _print_json(summarize(night))
    elif night.loads:
        screen.print_night(night)
    _finish(night.errors)


@cli.command()
@account_option
@click.option("--endpoint", "endpoints", multiple=True, type=Word(ENDPOINTS), help="Only this; repeatable.")
@click.option("--from", "first", type=DAY_TYPE, help="Read again from this UTC day, settled or not.")
@click.option("--to", "last", type=DAY_TYPE, help="Read again up to and with this UTC day.")
@on_budget_option
@click.option("--allow-shrink", is_flag=True, help="Replace days of which the PBX offers fewer calls than are stored.")
@destination_option
@jobs_option
@json_option
def load(
    accounts: tuple[str, ...],
    endpoints: tuple[str, ...],
    first: datetime | None,
    last: datetime | None,
    on_budget: Any,
    allow_shrink: bool,
    destination: Any,
    jobs: int,
    as_json: bool,
) -> None:
    """Read what is missing from the PBX into the raw tables."""
    options = LoadOptions(endpoints or ENDPOINTS, _again(first, last), on_budget, allow_shrink)
    target, (found, wrong) = read_target(destination), read_sound_accounts(accounts)
    with watch_signals() as stop, screen.watch_loads(stop) as observer:
        loads = load_accounts(found, target, options, observer, jobs, wrong)
        stopped = stop()
    if as_json:
        _print_json({"loads": [describe_load(load) for load in loads]})
    else:
        screen.print_loads(loads)
    _finish(load_errors(loads, stopped))


@cli.command("build")
@click.option("--full-refresh", is_flag=True, help="Everything anew, instead of what was loaded since.")
@destination_option
@json_option
def build_marts(full_refresh: bool, destination: Any, as_json: bool) -> None:
    """SQL models over what was loaded, and their tests."""
    with screen.watch_build() as on_build:
        models = build(read_target(destination), on_build, full_refresh=full_refresh)
    if as_json:
        _print_json({"models": [vars(model) for model in models]})
    else:
        screen.print_models(models)


@cli.command("publish")
@destination_option
@json_option
def publish_marts(destination: Any, as_json: bool) -> None:
    """The readers' copy: published/calls.duckdb and Parquet beside it, swapped in whole."""
    published = publish(read_target(destination))
    if as_json:
        _print_json(vars(published))
    else:
        screen.print_published(published)


@cli.command("report")
@click.option("--show-numbers", is_flag=True, help="Callers' whole numbers in the list to call back.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Where to, instead of published/.")
@destination_option
def make_report(show_numbers: bool, out: Path | None, destination: Any) -> None:
    """One HTML file of the published marts, to open or to mail: it needs no network."""
    path = write_report(read_target(destination), out, show_numbers=show_numbers)
    screen.out.print(f"The report: {path}", markup=False)


@cli.command("dashboard")
@click.option("--port", type=click.IntRange(0, 65535), default=8321, show_default=True, help="0 takes a free one.")
@click.option("--show-numbers", is_flag=True, help="Callers' whole numbers in the list to call back.")
@destination_option
def serve_dashboard(port: int, show_numbers: bool, destination: Any) -> None:
    """The report as a page on this machine that follows each new night. Ends on Ctrl-C."""
    load_dashboard().serve(read_target(destination), port, show_numbers=show_numbers, tell=screen.say)


@cli.command("docs")
@destination_option
def write_docs(destination: Any) -> None:
    """What every table, column and rate means, and what is made of what: one page, published/docs.html."""
    target = read_target(destination)
    folder = published_folder(target) if target.engine == "duckdb" else Path("published").absolute()
    with open_for_writing(target):
        page = build_docs(target, home() / "dbt", folder)
    screen.out.print(f"Open this in a browser; it needs no network: {page}", markup=False)


@cli.command("status")
@account_option
@destination_option
@json_option
def show_status(accounts: tuple[str, ...], destination: Any, as_json: bool) -> None:
    """What is loaded, what is missing, how fresh it is; also while a load is running."""
    target = read_target(destination)
    found = [describe_account(account, target) for account in read_accounts(accounts)]
    if as_json:
        _print_json({"accounts": found})
    else:
        screen.print_status(found)


@cli.command("budget")
@account_option
@json_option
def show_budget(accounts: tuple[str, ...], as_json: bool) -> None:
    """May a request go now? What is used and left, and when the next may go."""
    found = [describe_budget(account) for account in read_accounts(accounts)]
    if as_json:
        _print_json({"accounts": found})
    else:
        screen.print_budgets(found)


@cli.command("system-status")
@account_option
@json_option
def show_system_status(accounts: tuple[str, ...], as_json: bool) -> None:
    """What the PBX's operator (NOC) says of its system. Costs one request."""
    found: list[dict[str, Any]] = []
    lines: list[str] = []
    errors: list[CallsError] = []
    for account in read_accounts(accounts):
        try:
            with _client(account) as client:
                payload = client.fetch_system_status()
            word, text = describe_status(payload, account.name)
            found.append({"account": account.name, "status": word, "payload": payload})
            lines.append(f"{account.name}: {word or text}")
        except CallsError as error:
            errors.append(error)
    if as_json:
        _print_json({"accounts": found})
    else:
        for line in lines:
            screen.out.print(line, markup=False)
    _finish(errors)


@cli.command(context_settings={"allow_extra_args": True})
@click.argument("user")
@click.argument("number")
@click.option("--account", metavar="A", help="Which PBX, where several are set up.")
@click.option("--yes", is_flag=True, help="Ring without asking first.")
@click.pass_context
def dial(context: click.Context, user: str, number: str, account: str | None, yes: bool) -> None:
    """Ring USER, and once answered, NUMBER. Sent once, never repeated."""
    if context.args:  # click's own message would show them
        raise UsageError("These are more than two numbers. Put a number with spaces in quotes.")
    user, number = parse_number(user, "USER"), parse_number(number, "NUMBER")
    found = read_accounts((account,) if account else ())
    if len(found) > 1:
        raise UsageError(f"Several PBXs are set up; say which: --account {found[0].name}")
    if not yes:
        click.confirm(f"Ring {mask_number(user)}, then {mask_number(number)}?", abort=True)
    with _client(found[0]) as client:
        client.call_to_number(user, number)
    screen.out.print("The PBX took the call: it is ringing.")


@cli.command()
def init() -> None:
    """Write .dlt/config.toml and .dlt/secrets.toml by asking, and check what they say."""
    engine = set_up(Path(".dlt"))
    if engine is not None:
        sys.exit(_examine((), engine, screen.print_finding))


@cli.command()
@account_option
@destination_option
@json_option
def doctor(accounts: tuple[str, ...], destination: Any, as_json: bool) -> None:
    """Check settings, budget, the way to the PBX, key, clock, warehouse; each with its next step. Costs one request."""
    findings: list[Finding] = []
    code = _examine(accounts, destination, findings.append if as_json else screen.print_finding)
    if as_json:
        _print_json({"findings": [describe_finding(finding) for finding in findings]})
    sys.exit(code)


@cli.command()
@click.option("--days", type=click.IntRange(1, 366), default=28, show_default=True, help="How far back calls go.")
def demo(days: int) -> None:
    """A simulated PBX and a night's run against it, in ./demo: no account needed."""
    with demo_settings(Path("demo").absolute(), days):
        target, found = read_target("duckdb"), read_accounts()
        with watch_signals() as stop, screen.watch_loads(stop) as observer, screen.watch_build() as on_build:
            night = run_night(found, target, LoadOptions(), observer, on_build)
        screen.print_night(night)
        if night.published:
            print_tour(target)
    _finish(night.errors)


for command in (lost, completion, sandbox):
    cli.add_command(command)
add_examples(cli)


def main() -> None:
    """Runs the command line, and turns every error into its exit code and a line that says what to do."""
    os.umask(0o077)  # whatever is written holds calls or settings: the user's alone
    logging.raiseExceptions = False  # on a full disk every line of a log would come with a traceback
    configure_dlt()
    try:
        cli(standalone_mode=False, prog_name="calls")
    except CallsError as error:
        screen.say_error(error)
        sys.exit(error.exit_code)
    except ConfigProviderException:
        text = "A file in .dlt/ cannot be read as TOML: check the text and the rights of config.toml and secrets.toml."
        screen.say_error(SettingsError(text))
        sys.exit(SettingsError.exit_code)
    except click.Abort:
        screen.say("Nothing was done.")
        sys.exit(1)
    except click.ClickException as error:
        told = StringIO()
        error.show(told)
        click.echo(mask_numbers(told.getvalue()), nl=False, err=True)  # click quotes what was typed
        sys.exit(error.exit_code)
    except BrokenPipeError:  # `calls status | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _again(first: datetime | None, last: datetime | None) -> DateRange | None:
    if first is None and last is None:
        return None
    if first and last and first > last:
        raise UsageError(f"--from {first:%Y-%m-%d} is after --to {last:%Y-%m-%d}.")
    try:
        for day in filter(None, (first, last)):
            check_day(day)
    except ValueError as error:
        raise UsageError(f"--from and --to: {error}.") from None
    return DateRange(first.date() if first else None, last.date() + DAY if last else None)


def _examine(accounts: tuple[str, ...], engine: Any, tell: Callable[[Finding], None]) -> int:
    errors = []
    for finding in examine(accounts, engine):
        tell(finding)
        errors.append(finding.error)
    return exit_code(errors)


def _client(account: Account) -> Client:
    return Client(account.access, open_budget(account))


def _tell(night: NightResult, log: Callable[[str], None]) -> None:
    """Whoever is to know that a night failed is told; what goes wrong in that is said and logged, and stops nothing."""

    def warn(text: str) -> None:
        log(text)
        screen.say(f"warning: {text}")

    try:
        notify = read_notify()
    except CallsError as error:  # after the night, and not instead of it
        night.errors.append(error)
        return
    if night.errors:
        tell(notify, summarize(night), exit_code(night.errors), warn)


def _print_json(value: Any) -> None:
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode())


def _finish(errors: Sequence[CallsError | None]) -> None:
    for error in filter(None, errors):
        screen.say_error(error)
    sys.exit(exit_code(errors))


if __name__ == "__main__":
    main()
