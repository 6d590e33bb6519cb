"""Commands that look and change no data: `calls status`, `budget`, `system-status`, `docs`, `dashboard`."""

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import click

from pipelines.cli.options import account_option, any_destination_option, destination_option, json_option
from pipelines.cli.output import age_in_words, duration_in_words, emit, finish, new_table, out, say, utc_minute, write
from pipelines.errors import CallsError
from pipelines.files import home
from pipelines.load.pipeline import find_target
from pipelines.load.status import describe_account, describe_budget
from pipelines.publish import published_folder
from pipelines.report import load_dashboard
from pipelines.transform import build_docs
from pipelines.voipcloud.client import Client
from pipelines.voipcloud.settings import read_accounts
from pipelines.voipcloud.system_status import describe_status
from pipelines.warehouse import open_for_writing, read_target


@click.command()
@account_option
@any_destination_option
@json_option
def status(accounts: tuple[str, ...], destination: str, as_json: bool) -> None:
    """What is loaded, what is missing, how fresh it is; also while a load is running."""
    target = find_target(destination)
    found = [describe_account(account, target) for account in read_accounts(accounts)]
    emit({"accounts": found}, as_json, partial(_print_status, found))


@click.command()
@account_option
@json_option
def budget(accounts: tuple[str, ...], as_json: bool) -> None:
    """May a request go now? What is used and left, and when the next may go."""
    found = [describe_budget(account) for account in read_accounts(accounts)]
    emit({"accounts": found}, as_json, partial(_print_budgets, found))


@click.command("system-status")
@account_option
@json_option
def system_status(accounts: tuple[str, ...], as_json: bool) -> None:
    """What the PBX's operator (NOC) says of its system. Costs one request."""
    found: list[dict[str, Any]] = []
    errors: list[CallsError] = []
    for account in read_accounts(accounts):
        try:
            with Client(account.access, account.open_budget()) as client:
                payload = client.fetch_system_status()
            word, text = describe_status(payload, account.name)
            found.append({"account": account.name, "status": word, "payload": payload})
            if not as_json:
                write(f"{account.name}: {word or text}")
        except CallsError as error:
            errors.append(error)
    emit({"accounts": found}, as_json)
    finish(errors)


@click.command()
@destination_option
def docs(destination: Any) -> None:
    """What every table, column and rate means, and what it is made of: one page, published/docs.html."""
    target = read_target(destination)
    folder = published_folder(target) if target.engine == "duckdb" else Path("published").absolute()
    with open_for_writing(target):
        page = build_docs(target, home() / "dbt", folder)
    write(f"Open this in a browser; it needs no network: {page}")


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8321, show_default=True, help="0 takes a free one.")
@click.option("--show-numbers", is_flag=True, help="Callers' whole numbers in the list to call back.")
@destination_option
def dashboard(port: int, show_numbers: bool, destination: Any) -> None:
    """Serve the report as a page on this machine that follows each new night. Ctrl-C ends it."""
    load_dashboard().serve(read_target(destination), port, show_numbers=show_numbers, notify=say)


def _print_status(accounts: list[dict[str, Any]]) -> None:
    """Coverage and freshness per account, then what is wrong with it, then the budgets."""
    for account in accounts:
        running = account["running"]
        begun = f"; a load began {age_in_words(_instant(running['since']))}" if running else ""
        write(f"{account['account']}: as of {account['as_of']}{begun}")
        table = new_table("calls", "from", "settled to", "stored", "newest call (UTC)", "loaded", right=(3,))
        for name, found in account["endpoints"].items():
            table.add_row(
                name.removesuffix("_calls"),
                found["first_day"] or "-",
                found["settled_until"] or "-",
                f"{found['calls']:,}",
                utc_minute(_instant(found["newest_call_at"])),
                age_in_words(_instant(found["loaded_at"])),
            )
        out.print(table)
        for line in _troubles(account["endpoints"]):
            write(f"  {line}")
    _print_budgets([account["budget"] for account in accounts])


def _print_budgets(budgets: list[dict[str, Any]]) -> None:
    """Whether a request may go, one line per account."""
    for found in budgets:
        used = f"{found['used']} of {found['requests']} requests used in {duration_in_words(found['window_seconds'])}"
        left = f"{found['left']} left for loads, {found['left_interactive']} for dialling"
        when = "now" if found["wait_seconds"] <= 0 else f"in {duration_in_words(found['wait_seconds'])}"
        blocked = "; the PBX refused more (429)" if found["blocked_until"] else ""
        write(f"{found['account']}: {used}, {left}; next request {when}{blocked}")


def _troubles(endpoints: dict[str, Any]) -> Iterator[str]:
    for name, found in endpoints.items():
        for gap in found["gaps"]:
            yield f"{name}: not read yet: from {gap['from'] or 'the first call'} to {gap['to']}; calls load reads them."
        if found["rejected"]:
            yield f"{name}: {found['rejected']:,} records could not be read: see raw.rejected_records."
        if found["unplaced"]:
            number = found["unplaced"]
            yield f"{name}: {number:,} records have no start that can be read: see raw.unplaced_records."
        if found["unfinished"]:
            yield f"{name}: {found['unfinished']:,} calls had not ended when they were read."
        for day, offered in found["days_offered_less"].items():
            yield f"{name}: {day} was left as it is, because the PBX offered only {offered:,} records of it."


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
