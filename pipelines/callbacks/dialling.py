"""Going down the list of lost callers by click-to-call: each is asked for, rung once, and never rung again."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from pipelines.callbacks import Caller
from pipelines.errors import CallsError, MayHaveRung, UsageError

Choice = Literal["ring", "skip", "quit"]


@dataclass
class Round:
    """What became of the callers; `error` is what ended the round, or what it has to end with."""

    rung: int = 0
    skipped: int = 0
    unclear: int = 0  # sent, and the answer never came: they may have been rung
    error: CallsError | None = None

    @property
    def seen(self) -> int:
        """Callers that were decided on."""
        return self.rung + self.skipped + self.unclear


def go_round(
    callers: Iterable[Caller],
    ring: Callable[[Caller], None],
    ask: Callable[[Caller], Choice],
    go_on: Callable[[CallsError], bool],
    tell: Callable[[str], None],
) -> Round:
    """Asks for each caller, and rings who is to be rung. Never raises what can be told of it.

    A call whose answer never came goes on only if `go_on` says so; a number that cannot be dialled is skipped; whatever
    else goes wrong, the budget above all, would go wrong with the next too and ends the round.
    """
    done = Round()
    for caller in callers:
        choice = ask(caller)
        if choice == "quit":
            break
        if choice == "skip":
            done.skipped += 1
            continue
        try:
            ring(caller)
        except UsageError as error:
            done.skipped += 1
            tell(f"Skipped: {error}")
        except MayHaveRung as error:
            done.unclear, done.error = done.unclear + 1, error
            if not go_on(error):
                break
        except CallsError as error:
            done.error = error
            break
        else:
            done.rung += 1
            tell("The PBX took the call: it is ringing.")
    return done
