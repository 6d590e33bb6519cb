"""Click-to-call: `calls dial`, and the round of `calls lost --dial`, caller by caller."""

import sys
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime

import click

from pipelines.callbacks import Callbacks, Caller
from pipelines.callbacks.dialled import forget_rung, note_rung, rung_at
from pipelines.cli.output import age_in_words, duration_in_words, say_error, write
from pipelines.errors import BudgetSpent, CallsError, MayHaveRung, UsageError
from pipelines.phone_numbers import mask_number, parse_number
from pipelines.voipcloud.client import Client
from pipelines.voipcloud.settings import Account, read_accounts

CHOICES = click.Choice(["r", "ring", "s", "skip", "q", "quit"], case_sensitive=False)


@click.command(context_settings={"allow_extra_args": True})
@click.argument("user")
@click.argument("number")
@click.option("--account", metavar="A", help="Which PBX, if several are set up.")
@click.option("--yes", is_flag=True, help="Ring without asking first.")
@click.pass_context
def dial(context: click.Context, user: str, number: str, account: str | None, yes: bool) -> None:
    """Ring USER, and once answered, NUMBER. Sent once, never repeated."""
    if context.args:  # click's own message would show them
        raise UsageError("These are more than two numbers. Put a number with spaces in quotes.")
    user, number = parse_number(user, "USER"), parse_number(number, "NUMBER")
    pbx = _read_one((account,) if account else (), "Choose one")
    if not yes:
        click.confirm(f"Ring {mask_number(user)}, then {mask_number(number)}?", abort=True)
    with Client(pbx.access, pbx.open_budget()) as client:
        client.call_to_number(user, number)
    write("The PBX took the call: it is ringing.")


def read_dialling_account(accounts: tuple[str, ...], user: str, *, as_json: bool) -> Account:
    """The one PBX that rings. Raises `UsageError` for everything that can be wrong before the first question."""
    if as_json:
        raise UsageError("--dial asks before each call, so it does not go with --json.")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("--dial asks before each call, so it needs a terminal. Without one: calls dial USER NUMBER.")
    parse_number(user, "USER")
    return _read_one(accounts, "Choose whose callers to ring")


def ring_callers(found: Callbacks, account: Account, user: str, *, show_numbers: bool) -> None:
    """Go down the list: ask about each caller, ring USER and then the caller; none is rung twice.

    After a call whose answer never came, the user decides. Any other error, such as a spent budget, would meet the next
    call too, so it ends the round. Ends with the code of what went wrong.
    """
    write("Somebody may have called them back since. You are asked about each; none is rung twice.")
    forget_rung()
    total, counts = len(found.callers), Counter[str]()
    failure: CallsError | None = None
    with Client(account.access, account.open_budget()) as client:
        for place, caller in enumerate(found.callers, 1):
            number = shown_number(caller, show_numbers)
            write(f"\n{place} of {total}: {number}, {_describe(caller)}")
            choice = _ask(f"Ring {mask_number(user)}, then {number}? [r]ing, [s]kip, [q]uit")
            if choice == "q":
                break
            try:
                counts["skipped" if choice == "s" else _ring(client, user, caller)] += 1
            except MayHaveRung as error:
                counts["unclear"] += 1
                failure = error
                if not _go_on(error):
                    break
            except CallsError as error:
                failure = error
                break
    _print_round(counts, total - counts.total(), failure)
    if isinstance(failure, MayHaveRung):  # its message was shown when it occurred
        sys.exit(failure.exit_code)
    if failure is not None:
        raise failure


def shown_number(caller: Caller, show_numbers: bool) -> str:
    """The caller's number, masked unless `show_numbers`."""
    return caller.number if show_numbers else mask_number(caller.number)


def _read_one(accounts: tuple[str, ...], choose: str) -> Account:
    first, *others = read_accounts(accounts)
    if others:
        raise UsageError(f"Several PBXs are set up. {choose}: --account {first.name}")
    return first


def _ring(client: Client, user: str, caller: Caller) -> str:
    """What became of the caller: "rung", or "skipped" if the number cannot be dialled."""
    try:
        client.call_to_number(user, caller.number)
    except UsageError as error:
        write(f"Skipped: {error}")
        return "skipped"
    except MayHaveRung:
        note_rung(caller)
        raise
    note_rung(caller)
    write("The PBX took the call: it is ringing.")
    return "rung"


def _print_round(counts: Counter[str], left: int, failure: CallsError | None) -> None:
    unclear = f", {counts['unclear']} may have been rung" if counts["unclear"] else ""
    write(f"\nRung {counts['rung']}, skipped {counts['skipped']}{unclear}, {left} left on the list.")
    if isinstance(failure, BudgetSpent):
        at = datetime.fromtimestamp(failure.until).astimezone()
        wait = duration_in_words(failure.until - datetime.now(UTC).timestamp())
        write(f"The next call may go in {wait}, at {at:%H:%M:%S}.")


def _ask(question: str) -> str:
    """The letter of a choice; Ctrl-C and a closed terminal mean quit."""
    with suppress(click.Abort):
        return str(click.prompt(question, type=CHOICES, show_choices=False, prompt_suffix=" "))[0]
    return "q"


def _go_on(error: CallsError) -> bool:
    say_error(error)
    with suppress(click.Abort):
        return click.confirm("Go on with the next caller?")
    return False


def _describe(caller: Caller) -> str:
    tries = "once" if caller.tries == 1 else f"{caller.tries} times"
    waited = "" if caller.waited_seconds is None else f", waited {duration_in_words(caller.waited_seconds)}"
    left = duration_in_words(caller.seconds_left(datetime.now(UTC)))
    rung = rung_at(caller)
    noted = "" if rung is None else f"; rung from here {age_in_words(rung)}"
    calls = f"called {tries}, last {caller.last_local:%a %d %b %H:%M}{waited}; {left} left"
    return f"{', '.join(caller.queues)}: {calls}{noted}"
