"""What is remembered of one list between runs: its coverage, and how far the read under way has come.

It lies in the list's resource state under the account's name, as JSON, and commits with the rows it speaks of.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Self

import msgspec

from pipelines.errors import SettingsError
from pipelines.voipcloud.coverage import Coverage, DateRange
from pipelines.voipcloud.paging import Cursor

VERSION = 1
UNPLACED_MAX = 1_000  # records without a start whose first sight is remembered


@dataclass(frozen=True)
class RangeState:
    """One range of days that is being read: days from `bottom` on are loaded, `cursor` is where the rest begins."""

    days: DateRange
    cursor: Cursor
    bottom: date


@dataclass(frozen=True)
class Plan:
    """One whole read of a list, over as many packages as it takes: what is left of it, newest first.

    `begun` is when it began: no page is older, so a day that had ended by then is read whole. `start` is the account's
    first day then; `asked` is the range that the user asked for, None for what is missing. `unplaced` counts the
    records without a start by their hash.
    """

    begun: datetime
    start: date | None
    asked: DateRange | None
    ranges: tuple[RangeState, ...]
    unplaced: dict[str, int]


@dataclass(frozen=True)
class ListState:
    """One list of one account as of its last package.

    `package` counts its packages; `load_id` is dlt's of the last, so rows held in memory know the state they continue.
    `first_seen` says when each record without a start was first seen, by its hash.
    """

    coverage: Coverage = field(default_factory=Coverage)
    plan: Plan | None = None
    first_seen: dict[str, datetime] = field(default_factory=dict)
    package: int = 0
    load_id: str = ""

    def to_state(self) -> dict[str, Any]:
        """As JSON."""
        return {"version": VERSION, **msgspec.to_builtins(self)}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], whose: str) -> Self:
        """From what `to_state` gave; empty is a list never read.

        Raises `SettingsError`, naming `whose` list it is, for a state that a newer version wrote.
        """
        if state.get("version", VERSION) > VERSION:
            raise SettingsError(
                f"{whose}: the warehouse was loaded by a newer version of calls (its state is version "
                f"{state['version']}, this one reads up to {VERSION}). Upgrade calls here; nothing was changed."
            )
        return msgspec.convert(dict(state), cls)

    @property
    def unplaced_count(self) -> int | None:
        """Records without a start that the last read saw; None if it has not come to its end, or there was none."""
        if self.plan is None or self.plan.ranges:
            return None
        return sum(self.plan.unplaced.values())

    def after_package(
        self, load_id: str, coverage: Coverage, plan: Plan | None, first_seen: Mapping[str, datetime]
    ) -> "ListState":
        """The state after one more package."""
        newest = dict(sorted(first_seen.items(), key=lambda item: item[1])[-UNPLACED_MAX:])
        return ListState(coverage, plan, newest, self.package + 1, load_id)
