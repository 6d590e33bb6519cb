"""Click-to-call: `calls dial`, and the round of `calls lost --dial`, caller by caller."""

import sys
from contextlib import suppress
from datetime import UTC, datetime

import click

from pipelines.callbacks import Callbacks, Caller
from pipelines.callbacks.dialled import forget_rung, note_rung, rung_at
from pipelines.callbacks.dialling import Choice, Round, go_down_list
from pipelines.cli.output import age_in_words, duration_in_words, say_error, write
from pipelines.errors import BudgetSpent, CallsError, MayHaveRung, UsageError
from pipelines.phone_numbers import mask_number, parse_number
from pipelines.voipcloud.client import Client
from pipelines.voipcloud.settings import Account, read_accounts

CHOICES: dict[str, Choice] = {"r": "ring", "s": "skip", "q": "quit"}


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
    found = read_accounts((account,) if account else ())
    if len(found) > 1:
        raise UsageError(f"Several PBXs are set up. Choose one: --account {found[0].name}")
    if not yes:
        click.confirm(f"Ring {mask_number(user)}, then {mask_number(number)}?", abort=True)
    with Client(found[0].access, found[0].open_budget()) as client:
        client.call_to_number(user, number)
    write("The PBX took the call: it is ringing.")


def read_dialling_account(accounts: tuple[str, ...], user: str, *, as_json: bool) -> Account:
    """The one PBX that rings. Raises `UsageError` for everything that can be wrong before the first question."""
    if as_json:
        raise UsageError("--dial asks before each call, so it does not go with --json.")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("--dial asks before each call, so it needs a terminal. Without one: calls dial USER NUMBER.")
    parse_number(user, "USER")
    found = read_accounts(accounts)
    if len(found) > 1:
        raise UsageError(f"Several PBXs are set up. Choose whose callers to ring: --account {found[0].name}")
    return found[0]


def ring_callers(found: Callbacks, account: Account, user: str, *, show_numbers: bool) -> None:
    """Go down the list: ask about each caller, ring USER and then the caller. Ends with the code of what went wrong."""
    write("Somebody may have called them back since. You are asked about each; none is rung twice.")
    forget_rung()
    total = len(found.callers)
    places = {caller: place for place, caller in enumerate(found.callers, 1)}

    def ask(caller: Caller) -> Choice:
        number = shown_number(caller, show_numbers)
        write(f"\n{places[caller]} of {total}: {number}, {_describe(caller)}")
        return _ask(f"Ring {mask_number(user)}, then {number}? [r]ing, [s]kip, [q]uit")

    def ring(caller: Caller) -> None:
        try:
            client.call_to_number(user, caller.number)
        except MayHaveRung:
            note_rung(caller)
            raise
        note_rung(caller)

    with Client(account.access, account.open_budget()) as client:
        done = go_down_list(found.callers, ring, ask, _go_on, write)
    _print_round(done, total)
    if isinstance(done.error, MayHaveRung):  # its message was shown when it occurred
        sys.exit(done.error.exit_code)
    if done.error is not None:
        raise done.error


def shown_number(caller: Caller, show_numbers: bool) -> str:
    """The caller's number, masked unless `show_numbers`."""
    return caller.number if show_numbers else mask_number(caller.number)


def _print_round(done: Round, total: int) -> None:
    unclear = f", {done.unclear} may have been rung" if done.unclear else ""
    left = total - done.seen
    write(f"\nRung {done.rung}, skipped {done.skipped}{unclear}, {left} left on the list.")
    if isinstance(done.error, BudgetSpent):
        at = datetime.fromtimestamp(done.error.until).astimezone()
        wait = duration_in_words(done.error.until - datetime.now(UTC).timestamp())
        write(f"The next call may go in {wait}, at {at:%H:%M:%S}.")


def _ask(question: str) -> Choice:
    """One of the choices; Ctrl-C and a closed terminal mean quit."""
    with suppress(click.Abort):
        while True:
            typed = click.prompt(question, default="", show_default=False, prompt_suffix=" ").strip().lower()
            for letter, choice in CHOICES.items():
                if typed in (letter, choice):
                    return choice
    return "quit"


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
