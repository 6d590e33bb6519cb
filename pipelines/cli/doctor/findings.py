"""What one check of the doctor's finds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from pipelines.errors import CallsError

Verdict = Literal["ok", "note", "fail", "not tried"]


@dataclass(frozen=True)
class Finding:
    """What was looked at, what was found, and the error if it failed. What is the machine's own has no account."""

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
    """Looks, and makes a finding of what that gives or raises."""
    try:
        found = look()
    except CallsError as error:
        return Finding(account, what, "fail", error=error)
    return (
        Finding(account, what, "note", found.text) if isinstance(found, Note) else Finding(account, what, "ok", found)
    )


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
