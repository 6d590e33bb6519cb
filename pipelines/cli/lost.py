"""`calls lost`: the list of whom to call back, as a table, as JSON, or caller by caller with click-to-call."""

import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import click
import orjson

from pipelines.callbacks import Callbacks, Caller, read_lost
from pipelines.callbacks.dialled import forget_rung, note_rung, rung_at
from pipelines.callbacks.dialling import Choice, Round, go_round
from pipelines.cli import output as screen
from pipelines.cli.options import account_option, destination_option, json_option
from pipelines.errors import BudgetSpent, CallsError, MayHaveRung, UsageError
from pipelines.phone_numbers import mask_number, parse_number
from pipelines.publish.reader import open_marts
from pipelines.voipcloud.client import Client
from pipelines.voipcloud.settings import Account, read_accounts
from pipelines.warehouse import read_target

ANSWERS: dict[str, Choice] = {"r": "ring", "s": "skip", "q": "quit"}


@click.command()
@account_option
@click.option("--queue", "queues", multiple=True, metavar="Q", help="Only this queue or ring group; repeatable.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, metavar="N", help="So many callers.")
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

    Read from the published copy, so it is as fresh as the last load. Who was lost first is on top: there the time to
    call back (recovery_hours, 72 unless changed) runs out first.
    """
    now, dialled = datetime.now(UTC), None
    if user is not None:
        dialled = _dialled(accounts, user, as_json=as_json)
        accounts = (dialled.name,)
    with open_marts(read_target(destination)) as query:
        found = read_lost(query, accounts, queues, limit, now)
    if as_json:
        told = orjson.dumps(describe_lost(found, now, show_numbers=show_numbers), option=orjson.OPT_INDENT_2)
        sys.stdout.write(told.decode() + "\n")
        return
    _warn_of_age(found, now)
    if dialled is None or user is None:
        _print_lost(found, now, show_numbers=show_numbers)
    else:
        _dial(found, dialled, parse_number(user, "USER"), show_numbers=show_numbers)


def describe_lost(found: Callbacks, now: datetime, *, show_numbers: bool) -> dict[str, Any]:
    """The list, ready for JSON: instants as ISO 8601 in UTC, local times without an offset."""
    return {
        "as_of": found.loaded_at,
        "stale_accounts": found.stale(now),
        "left_out": found.left_out,
        "run_out": found.run_out,
        "callers": [
            {**vars(caller), "number": _number(caller, show_numbers), "seconds_left": caller.seconds_left(now)}
            for caller in found.callers
        ],
    }


def _dialled(accounts: tuple[str, ...], user: str, *, as_json: bool) -> Account:
    """The PBX that is to ring; all that can be wrong is said before the first question."""
    if as_json:
        raise UsageError("--dial asks before each call, so it does not go with --json.")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("--dial asks before each call, so it needs a terminal. Without one: calls dial USER NUMBER.")
    parse_number(user, "USER")
    found = read_accounts(accounts)
    if len(found) > 1:
        raise UsageError(f"Several PBXs are set up; say whose callers: --account {found[0].name}")
    return found[0]


def _warn_of_age(found: Callbacks, now: datetime) -> None:
    for account in found.stale(now):
        age = screen.show_age(found.loaded_at[account].isoformat())
        screen.say_warning(
            f"{account}: the list was loaded {age}, and the night since then is not in it. calls run brings it up to "
            "date; calls status says what is missing."
        )


def _print_lost(found: Callbacks, now: datetime, *, show_numbers: bool) -> None:
    many = len(found.loaded_at) > 1
    names = (*(("account",) if many else ()), "number", "queue", "called", "again", "tries", "waited", "time left")
    table = screen.new_table(*names, right=(len(names) - 3, len(names) - 2, len(names) - 1))
    for caller in found.callers:
        again = f"{caller.last_local:%a %H:%M}" if caller.tries > 1 else ""
        row = (_number(caller, show_numbers), ", ".join(caller.queues), f"{caller.first_local:%a %d %b %H:%M}", again)
        waited = "-" if caller.waited_seconds is None else _span(caller.waited_seconds)
        account = (caller.account,) if many else ()
        table.add_row(*account, *row, str(caller.tries), waited, _span(caller.seconds_left(now)))
    if found.callers:
        screen.out.print(table)
    for line in _remarks(found):
        screen.out.print(line, markup=False)


def _remarks(found: Callbacks) -> list[str]:
    callers = len(found.callers) + found.left_out
    told = "1 caller is" if callers == 1 else f"{callers:,} callers are"
    lines = [f"{told} to be called back." if callers else "Nobody is waiting to be called back."]
    if found.left_out:
        lines.append(f"{found.left_out:,} of them are not shown: --limit {callers}.")
    if found.run_out:
        lines.append(f"For {found.run_out:,} lost calls the time ran out since the load; they are left out.")
    for account, at in found.loaded_at.items():
        age = screen.show_age(at.isoformat())
        lines.append(f"{account}: loaded {screen.show_instant(at.isoformat())} UTC, {age}; calls since are not in it.")
    return lines


def _dial(found: Callbacks, account: Account, user: str, *, show_numbers: bool) -> None:
    for line in _remarks(found):
        screen.out.print(line, markup=False)
    if not found.callers:
        return
    screen.out.print("Somebody may have called them back since. Each is asked for; none is rung twice.", markup=False)
    forget_rung()
    total = len(found.callers)
    places = {caller: place for place, caller in enumerate(found.callers, 1)}

    def ask(caller: Caller) -> Choice:
        shown = f"{places[caller]} of {total}: {_number(caller, show_numbers)}, {_story(caller)}"
        screen.out.print(f"\n{shown}", markup=False)
        return _answer(f"Ring {mask_number(user)}, then {_number(caller, show_numbers)}? [r]ing, [s]kip, [q]uit")

    def ring(caller: Caller) -> None:
        try:
            client.call_to_number(user, caller.number)
        except MayHaveRung:
            note_rung(caller)
            raise
        note_rung(caller)

    with Client(account.access, account.open_budget()) as client:
        done = go_round(
            found.callers,
            ring,
            ask,
            _go_on,
            lambda text: screen.out.print(text, markup=False),
        )
    _print_round(done, total)
    if isinstance(done.error, MayHaveRung):  # said when it came
        sys.exit(done.error.exit_code)
    if done.error is not None:
        raise done.error


def _print_round(done: Round, total: int) -> None:
    unclear = f", {done.unclear} may have been rung" if done.unclear else ""
    left = total - done.seen
    screen.out.print(f"\nRung {done.rung}, skipped {done.skipped}{unclear}, {left} left on the list.", markup=False)
    if isinstance(done.error, BudgetSpent):
        at = datetime.fromtimestamp(done.error.until).astimezone()
        screen.out.print(f"The next call may go at {at:%H:%M:%S}.", markup=False)


def _answer(question: str) -> Choice:
    """One of three; whoever closes the terminal or presses Ctrl-C has had enough."""
    with suppress(click.Abort):
        while True:
            typed = click.prompt(question, default="", show_default=False, prompt_suffix=" ").strip().lower()
            for letter, choice in ANSWERS.items():
                if typed in (letter, choice):
                    return choice
    return "quit"


def _go_on(error: CallsError) -> bool:
    screen.say_error(error)
    with suppress(click.Abort):
        return click.confirm("Go on with the next caller?")
    return False


def _story(caller: Caller) -> str:
    tries = "once" if caller.tries == 1 else f"{caller.tries} times"
    waited = "" if caller.waited_seconds is None else f", waited {_span(caller.waited_seconds)}"
    left = _span(caller.seconds_left(datetime.now(UTC)))
    rung = rung_at(caller)
    told = "" if rung is None else f"; rung from here {screen.show_age(rung.isoformat())}"
    story = f"called {tries}, last {caller.last_local:%a %d %b %H:%M}{waited}; {left} left"
    return f"{', '.join(caller.queues)}: {story}{told}"


def _number(caller: Caller, show_numbers: bool) -> str:
    return caller.number if show_numbers else mask_number(caller.number)


def _span(seconds: int) -> str:
    if seconds < 60:
        return f"{max(seconds, 0)} s"
    minutes, hours = seconds // 60, seconds // 3600
    return f"{minutes} min" if hours < 1 else f"{hours} h {minutes % 60:02} min"
