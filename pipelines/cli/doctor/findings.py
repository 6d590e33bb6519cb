"""What the doctor's checks find."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pipelines.errors import CallsError


@dataclass(frozen=True)
class Finding:
    """What was checked, what was found, and the exit code if it failed. What belongs to the machine has no account."""

    account: str | None
    what: str
    verdict: Literal["ok", "note", "fail", "not tried"]
    found: str
    exit_code: int = 0


class Note(str):
    """What a check found if nothing is wrong, but somebody ought to know."""

    __slots__ = ()


def check(account: str | None, what: str, look: Callable[[], str]) -> Finding:
    """Run a check, and make a finding of what it returns or raises."""
    try:
        found = look()
    except CallsError as error:
        return Finding(account, what, "fail", str(error), error.exit_code)
    return Finding(account, what, "note" if isinstance(found, Note) else "ok", found)
