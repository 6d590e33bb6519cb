"""What the doctor's checks find."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from pipelines.errors import CallsError

Verdict = Literal["ok", "note", "fail", "not tried"]


@dataclass(frozen=True)
class Finding:
    """What was checked, what was found, and the error if it failed. What belongs to the machine has no account."""

    account: str | None
    what: str
    verdict: Verdict
    found: str = ""
    error: CallsError | None = None


@dataclass(frozen=True)
class Note:
    """Nothing is wrong, but somebody ought to know."""

    text: str


def check(account: str | None, what: str, look: Callable[[], str | Note]) -> Finding:
    """Run a check, and make a finding of what it returns or raises."""
    try:
        found = look()
    except CallsError as error:
        return Finding(account, what, "fail", error=error)
    if isinstance(found, Note):
        return Finding(account, what, "note", found.text)
    return Finding(account, what, "ok", found)


def describe_finding(finding: Finding) -> dict[str, Any]:
    """A finding, ready for JSON."""
    error = finding.error
    return {
        "account": finding.account,
        "what": finding.what,
        "verdict": finding.verdict,
        "found": str(error) if error else finding.found,
        "exit_code": error.exit_code if error else 0,
    }
