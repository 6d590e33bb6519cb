"""One run of the source: what its lists share (client, page limit, errors), and how it ended.

dlt drops a whole package when one generator raises. So a list that meets an error ends instead, the others load what
they have, and the error stands in the outcome. Only a run that read nothing whole raises it.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from pipelines.budget import Usage
from pipelines.errors import BudgetSpent, CallsError
from pipelines.voipcloud.client import Client
from pipelines.voipcloud.coverage import DateRange
from pipelines.voipcloud.settings import Account

Clock = Callable[[], float]  # Unix seconds
Signal = Callable[[], CallsError | None]  # a reason to end cleanly, if there is one


def no_stop() -> CallsError | None:
    """No reason to end."""
    return None


@dataclass(frozen=True)
class PageRead:
    """One page was read: its new rows, how far back it reached, and how many days are done (total None: not known)."""

    endpoint: str
    rows: int
    day: date | None
    days_done: int
    days_total: int | None


@dataclass
class Outcome:
    """How the last run of a source ended; its source keeps one and each run fills it anew.

    `run_error` ended it early; `list_errors` ended the reading of one list each; `error` is the first of them all.
    `lists_left` are the lists of which another run can load more. `requests` are those for calls. The rows, days and
    rejected records are those of this run's package; `unplaced` are the records without a start in each list that this
    run read to its end.
    """

    run_error: CallsError | None = None
    list_errors: dict[str, CallsError] = field(default_factory=dict)
    lists_left: tuple[str, ...] = ()
    requests: int = 0
    warnings: list[str] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    days: dict[str, int] = field(default_factory=dict)
    rejected: int = 0
    unplaced: dict[str, int] = field(default_factory=dict)
    system_status: str | None = None

    @property
    def error(self) -> CallsError | None:
        """What went wrong, if anything did."""
        return self.run_error or next(iter(self.list_errors.values()), None)

    @property
    def until(self) -> float | None:
        """The Unix second from which the budget allows a request, if the budget ended the run."""
        return self.run_error.until if isinstance(self.run_error, BudgetSpent) else None

    @property
    def has_more(self) -> bool:
        """Whether days are still missing, so that it should be run again."""
        return bool(self.lists_left)

    def clear(self) -> None:
        """Begins anew, in place: a source's copies share one outcome."""
        vars(self).update(vars(Outcome()))


@dataclass(frozen=True)
class ReadOptions:
    """What to read of an account, and what to call meanwhile: by default what is missing, and nothing.

    `asked` is a range of days to read whether settled or not. `allow_shrink` replaces days of which the PBX offers
    fewer calls than are stored. `resumes` goes on with the read that an earlier source began; otherwise the newest
    calls come first again. `on_page` gets each page and the budget after it; `stop` is asked before each page.
    """

    asked: DateRange | None = None
    allow_shrink: bool = False
    resumes: bool = True
    on_page: Callable[[PageRead, Usage], None] = lambda *_: None
    stop: Signal = no_stop
    clock: Clock = time.time


class Run:
    """What the resources of one run share. `reading` are the names of those that send requests."""

    def __init__(
        self, account: Account, client: Client, options: ReadOptions, reading: Iterable[str], outcome: Outcome
    ) -> None:
        self.account = account
        self.client = client
        self.options = options
        self.outcome = outcome
        self.waiting: set[str] = set()  # resources that have not begun yet
        self._reading = set(reading)
        self._has_whole_day = False

    def now(self) -> datetime:
        """The time by the options' clock, in UTC."""
        return datetime.fromtimestamp(self.options.clock(), UTC)

    def goes_on(self) -> bool:
        """Whether another page may be read: past the page limit only until a day is whole."""
        if self.outcome.run_error is None:
            self.outcome.run_error = self.options.stop()
        is_full = self.outcome.requests >= self.account.package_pages
        return self.outcome.run_error is None and not (is_full and self._has_whole_day)

    def count_page(self, page: PageRead) -> None:
        """Reports a page to the observer."""
        self.outcome.requests += 1
        self.options.on_page(page, self.client.usage())

    def count_days(self, endpoint: str, days: int, rejected: int) -> None:
        """Notes that days of a list are whole."""
        self._has_whole_day = True
        self.outcome.rows.setdefault(endpoint, 0)
        self.outcome.days[endpoint] = self.outcome.days.get(endpoint, 0) + days
        self.outcome.rejected += rejected

    def warn(self, text: str) -> None:
        """Adds a warning to the outcome."""
        self.outcome.warnings.append(text)

    def end(self, error: CallsError) -> None:
        """Ends every list at its next page."""
        self.outcome.run_error = self.outcome.run_error or error

    def end_list(self, endpoint: str, error: CallsError) -> None:
        """Notes what ended one list; the others go on."""
        self.outcome.list_errors[endpoint] = error

    def leave(self, name: str) -> bool:
        """Ends a resource, and the client with the last one. Returns whether others go on, or had all ended before."""
        if name not in self._reading:
            return True
        self._reading.discard(name)
        if not self._reading:
            self.client.close()
        return bool(self._reading)

    def conclude(self) -> None:
        """Raises what the run met, if no day has become whole."""
        if self.outcome.error is not None and not self._has_whole_day:
            raise self.outcome.error
