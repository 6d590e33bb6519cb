"""Goes down the list of lost callers by click-to-call: asks about each, rings once, never rings again."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from pipelines.callbacks import Caller
from pipelines.errors import CallsError, MayHaveRung, UsageError

Choice = Literal["ring", "skip", "quit"]


@dataclass
class Round:
    """What became of the callers. `error` is what ended the round, or the last call that may have rung."""

    rung: int = 0
    skipped: int = 0
    unclear: int = 0  # sent, but the answer never came: they may have been rung
    error: CallsError | None = None

    @property
    def seen(self) -> int:
        """Callers that somebody decided about."""
        return self.rung + self.skipped + self.unclear


def go_down_list(
    callers: Iterable[Caller],
    ring: Callable[[Caller], None],
    ask: Callable[[Caller], Choice],
    go_on: Callable[[CallsError], bool],
    say: Callable[[str], None],
) -> Round:
    """Ask about each caller, and ring those chosen. A `CallsError` is never raised: `Round.error` holds it.

    A number that cannot be dialled is skipped. After a call whose answer never came, `go_on` decides. Any other error,
    such as a spent budget, would meet the next call too, so it ends the round.
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
            say(f"Skipped: {error}")
        except MayHaveRung as error:
            done.unclear, done.error = done.unclear + 1, error
            if not go_on(error):
                break
        except CallsError as error:
            done.error = error
            break
        else:
            done.rung += 1
            say("The PBX took the call: it is ringing.")
    return done
