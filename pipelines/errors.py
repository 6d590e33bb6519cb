"""Every error a user can meet, each named by what happened, each with the exit code a scheduler sees.

    CallsError                1   anything else
    ├── UnexpectedError       1   nobody foresaw it
    ├── UsageError            2   an argument
    ├── UnexpectedPayload    65   the PBX sent what cannot be read
    ├── PbxUnavailable       69   no answer, or a server error, after every retry
    │   └── MayHaveRung           a click-to-call whose answer never came
    ├── StoppedEarly         75   what was read is kept; run again later
    │   ├── BudgetSpent           no request may leave before `until`
    │   ├── AlreadyRunning        another run holds the account
    │   ├── WarehouseLocked       another program holds the warehouse
    │   └── Interrupted           a signal asked the run to stop
    ├── KeyRefused           77   the key, or the address it was sent from
    └── SettingsError        78   a setting

A message says what happened, to what, and what to do. It never holds a key, a query string or a phone number.
"""

import difflib
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Self

# Exit codes from the mildest to the gravest; 0 is success.
SEVERITY = (0, 75, 65, 69, 77, 78, 2, 1)


class CallsError(Exception):
    """Something went wrong that the user can do something about."""

    exit_code: ClassVar[int] = 1


class UnexpectedError(CallsError):
    """An error that nobody foresaw: a mistake in this program."""

    @classmethod
    def wrap(cls, error: BaseException, what: str) -> Self:
        """Say that `what` broke, by which kind of error, and where in our own code.

        The original text is left out, because it may quote a call record or a setting.
        """
        own = [f for f in traceback.extract_tb(error.__traceback__) if "pipelines" in Path(f.filename).parts]
        where = f" in {Path(own[-1].filename).name}, line {own[-1].lineno}" if own else ""
        return cls(f"{what} broke ({type(error).__name__}{where}): this is a mistake in calls.")


class UsageError(CallsError):
    """An argument cannot be used."""

    exit_code = 2


class UnexpectedPayload(CallsError):
    """The PBX answered with something that cannot be read as call records."""

    exit_code = 65


class PbxUnavailable(CallsError):
    """The PBX did not answer, or answered with a server error, on every attempt."""

    exit_code = 69


class MayHaveRung(PbxUnavailable):
    """A click-to-call was sent and its answer never came, so the phones may have rung."""


class StoppedEarly(CallsError):
    """The run ended before everything was done; what it had read is kept."""

    exit_code = 75


class BudgetSpent(StoppedEarly):
    """No request may leave before `until` (Unix seconds)."""

    def __init__(self, message: str, until: float = 0.0) -> None:  # unpickling passes the message only
        super().__init__(message)
        self.until = until


class AlreadyRunning(StoppedEarly):
    """Another run of this account has not ended."""


class WarehouseLocked(StoppedEarly):
    """Another program has the warehouse open."""


class Interrupted(StoppedEarly):
    """A signal asked the run to stop."""


class KeyRefused(CallsError):
    """The PBX refused the key, or the address the request came from: it answers both alike."""

    exit_code = 77


class SettingsError(CallsError):
    """A setting is missing or cannot be used."""

    exit_code = 78


def exit_code(errors: Iterable[CallsError | None]) -> int:
    """The gravest exit code of several errors; 0 if there is none."""
    return max((error.exit_code if error else 0 for error in errors), key=SEVERITY.index, default=0)


def describe_error(error: object) -> dict[str, Any]:
    """An error, ready for JSON; for `orjson.dumps(…, default=describe_error)`. Raises `TypeError` for anything else."""
    if isinstance(error, CallsError):
        return {"message": str(error), "exit_code": error.exit_code}
    raise TypeError


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown word: "; did you mean 'load'?" if a known word is near, else "."."""
    close = difflib.get_close_matches(word, sorted(known), 1)
    return f"; did you mean '{close[0]}'?" if close else "."
