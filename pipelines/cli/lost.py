"""`calls lost`: whom to call back, as a table, as JSON, or caller by caller with click-to-call."""

from datetime import UTC, datetime
from typing import Any

import click

from pipelines.callbacks import Callbacks, read_lost
from pipelines.cli.options import account_option, destination_option, json_option
from pipelines.cli.output import age_in_words, duration_in_words, emit, new_table, out, say_warning, utc_minute, write
from pipelines.cli.phone import read_dialling_account, ring_callers, shown_number
from pipelines.phone_numbers import parse_number
from pipelines.publish.reader import open_marts
from pipelines.warehouse import read_target


@click.command()
@account_option
@click.option("--queue", "queues", multiple=True, metavar="Q", help="Only this queue or ring group; repeatable.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, metavar="N", help="At most N callers.")
@click.option("--show-numbers", is_flag=True, help="Whole numbers instead of their last two digits.")
@click.option("--dial", "user", metavar="USER", help="Go down the list: ring USER, then the caller; asks before each.")
@destination_option
@json_option
def lost(
    accounts: tuple[str, ...],
    queues: tuple[str, ...],
    limit: int,
    show_numbers: bool,
    user: str | None,
    destination: Any,
    as_json: bool,
) -> None:
    """Whom to call back: callers nobody answered, and nobody has reached since.

    Read from the published copy, so it is as fresh as the last load. The caller who was lost first is on top: there
    the time to call back (recovery_hours, by default 72) runs out first.
    """
    now, account = datetime.now(UTC), None
    if user is not None:
        account = read_dialling_account(accounts, user, as_json=as_json)
        accounts = (account.name,)
    with open_marts(read_target(destination)) as query:
        found = read_lost(query, accounts, queues, limit, now)

    def show() -> None:
        _warn_of_age(found, now)
        if account is None:
            _print_callers(found, now, show_numbers=show_numbers)
        for line in _remarks(found):
            write(line)
        if account is not None and user is not None and found.callers:
            ring_callers(found, account, parse_number(user, "USER"), show_numbers=show_numbers)

    emit(_describe(found, now, show_numbers=show_numbers), as_json, show)


def _describe(found: Callbacks, now: datetime, *, show_numbers: bool) -> dict[str, Any]:
    """The list, ready for JSON: instants as ISO 8601 in UTC, local times without an offset."""
    return {
        "as_of": found.loaded_at,
        "stale_accounts": found.stale(now),
        "left_out": found.left_out,
        "run_out": found.run_out,
        "callers": [
            {**vars(caller), "number": shown_number(caller, show_numbers), "seconds_left": caller.seconds_left(now)}
            for caller in found.callers
        ],
    }


def _warn_of_age(found: Callbacks, now: datetime) -> None:
    for account in found.stale(now):
        say_warning(
            f"{account}: the list was loaded {age_in_words(found.loaded_at[account])}, and later calls are not in it. "
            "calls run brings it up to date; calls status says what is missing."
        )


def _print_callers(found: Callbacks, now: datetime, *, show_numbers: bool) -> None:
    if not found.callers:
        return
    several = len(found.loaded_at) > 1
    names = (*(("account",) if several else ()), "number", "queue", "called", "again", "tries", "waited", "time left")
    table = new_table(*names, right=(len(names) - 3, len(names) - 2, len(names) - 1))
    for caller in found.callers:
        table.add_row(
            *((caller.account,) if several else ()),
            shown_number(caller, show_numbers),
            ", ".join(caller.queues),
            f"{caller.first_local:%a %d %b %H:%M}",
            f"{caller.last_local:%a %H:%M}" if caller.tries > 1 else "",
            str(caller.tries),
            "-" if caller.waited_seconds is None else duration_in_words(caller.waited_seconds),
            duration_in_words(caller.seconds_left(now)),
        )
    out.print(table)


def _remarks(found: Callbacks) -> list[str]:
    count = len(found.callers) + found.left_out
    callers = "1 caller is" if count == 1 else f"{count:,} callers are"
    lines = [f"{callers} waiting to be called back." if count else "Nobody is waiting to be called back."]
    if found.left_out:
        lines.append(f"{found.left_out:,} of them are not shown: --limit {count}.")
    if found.run_out:
        calls = "1 lost call" if found.run_out == 1 else f"{found.run_out:,} lost calls"
        lines.append(f"{calls} ran out of time since the load, and left the list.")
    for account, at in found.loaded_at.items():
        lines.append(f"{account}: loaded {age_in_words(at)} ({utc_minute(at)} UTC); later calls are not in it.")
    return lines
