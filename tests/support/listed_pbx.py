"""A PBX in memory whose lists move, the reader over it night by night, and what a warehouse would hold of it."""

import json
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any, cast
from zoneinfo import ZoneInfo

import orjson
import pyarrow as pa
from msgspec import Raw

from pipelines.budget import Limits, Usage
from pipelines.errors import BudgetSpent, CallsError, Interrupted, PbxUnavailable
from pipelines.voipcloud.client import Access, Client
from pipelines.voipcloud.coverage import DAY, Coverage, Rules
from pipelines.voipcloud.list_state import ListState
from pipelines.voipcloud.package import REMOVED, Package
from pipelines.voipcloud.reader import ListReader
from pipelines.voipcloud.run import Outcome, ReadOptions
from pipelines.voipcloud.session import Session
from pipelines.voipcloud.settings import Account

BEGIN = datetime(2026, 3, 20, tzinfo=UTC)
ENDPOINTS = ("queue_calls", "user_calls")
NEVER = datetime(2100, 1, 1, tzinfo=UTC)
Wire = dict[str, Any]
ACCOUNT = Account(
    name="main",
    access=Access("main", "http://127.0.0.1", "a-key"),
    timezone="UTC",
    start_date=None,
    names={},
    limits=Limits(),
    ledger="",
    rules=Rules(),
    package_pages=25,
)


@dataclass(frozen=True)
class Call:
    """A call, from when it begins to when it ends; it turns up in the list `appears`, and some cannot be read."""

    start: datetime
    end: datetime
    appears: datetime
    number: str
    is_bad: bool = False
    queue: str = "Sales"
    has_start: bool = True  # as the PBX tells it

    def at(self, endpoint: str, now: datetime, zone: str | None = None) -> Wire:
        """The record as the PBX gives it at that time: its instants with their offset, or as a zone's local times."""
        start, end = self.start, self.end if self.end <= now else None
        if zone:
            start = start.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
            end = end and end.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        shared: Wire = {"call_start_at": None, "call_finished_at": end and end.isoformat()}
        shared |= {"call_start_at": start.isoformat()} if self.has_start else {}
        if endpoint == "queue_calls":
            return shared | {"queue_name": None if self.is_bad else self.queue, "callerid": self.number}
        return shared | {"is_inbound": "maybe" if self.is_bad else 1, "from_number": self.number}


@dataclass
class ListedPBX:
    """The lists of one PBX at `now`, which moves on with every request; each request may be the last it answers."""

    calls: dict[str, list[Call]]
    now: datetime = BEGIN
    cap: int = 10_000
    zone_hours: int = 0
    is_inclusive: bool = True
    local_zone: str | None = None  # whose local times it writes
    answers: int | None = None  # requests left before `refusal`
    refusal: CallsError = field(default_factory=lambda: BudgetSpent("no slot is left", 0.0))
    requests: Counter[str] = field(default_factory=Counter)
    packages: int = 0

    def usage(self) -> Usage:
        """An empty ledger's."""
        return Usage(0, 100, 100, 0.0, None, 0)

    def fetch_calls(
        self, endpoint: str, *, from_date: str, to_date: str, names: str, limit: int, offset: int
    ) -> list[Raw]:
        """One page, newest first, as `Client.fetch_calls` gives it."""
        if self.answers is not None:
            if self.answers == 0:
                raise self.refusal
            self.answers -= 1
        self.requests[endpoint] += 1
        self.now += timedelta(minutes=3)
        low = self._midnight(from_date) if from_date else BEGIN - 1000 * DAY
        high = self._midnight(to_date) + self.is_inclusive * DAY if to_date else NEVER
        found = [
            call
            for call in self.seen(endpoint)
            if low <= call.start < high and (not names or call.queue in names.split(","))
        ]
        page = found[offset : offset + min(limit, self.cap)]
        return [Raw(orjson.dumps(call.at(endpoint, self.now, self.local_zone))) for call in page]

    def seen(self, endpoint: str) -> list[Call]:
        """The calls in the list now, newest first."""
        there = [call for call in self.calls[endpoint] if call.appears <= self.now]
        return sorted(there, key=lambda call: call.start, reverse=True)

    def _midnight(self, day: str) -> datetime:
        """When a date begins on the PBX's own clock."""
        return datetime.fromisoformat(day).replace(tzinfo=UTC) - timedelta(hours=self.zone_hours)


@dataclass
class Replica:
    """What a warehouse holds that replaces whole days: calls and rejected records by endpoint and day, and states.

    `unplaced` are the records without a start by endpoint and hash: how many copies, and when last seen; `whole_reads`
    say when each list was last read to its end.
    """

    rows: dict[tuple[str, date], list[str]] = field(default_factory=dict)
    rejected: dict[tuple[str, date], list[str]] = field(default_factory=dict)
    unplaced: dict[tuple[str, str], Wire] = field(default_factory=dict)
    whole_reads: dict[str, datetime] = field(default_factory=dict)
    state: str = "{}"

    def stored(self, endpoint: str) -> ListState:
        """The state of a list, from its JSON."""
        return ListState.from_state(json.loads(self.state).get(endpoint, {}), endpoint)

    @property
    def coverage(self) -> dict[str, Coverage]:
        """Coverage by endpoint."""
        return {endpoint: self.stored(endpoint).coverage for endpoint in json.loads(self.state)}

    def load(self, readers: dict[str, ListReader], load_id: str) -> None:
        """Replaces the days of a package, as one."""
        for endpoint, reader in readers.items():
            self._replace(endpoint, reader.package, reader.side_tables())
        kept = {endpoint: reader.next_state(load_id).to_state() for endpoint, reader in readers.items()}
        self.state = json.dumps(json.loads(self.state) | kept)
        for row in (row for reader in readers.values() for row in reader.package.loaded_days):
            key = (row["endpoint"], row["call_day"])
            assert row["calls_count"] == len(self.rows.get(key, []))
            assert row["rejected_count"] == len(self.rejected.get(key, []))

    def _replace(self, endpoint: str, package: Package, side_tables: Iterable[tuple[str, pa.Table]]) -> None:
        now = datetime(2026, 1, 1, tzinfo=UTC)
        calls = [table for table in (package.take_calls(), package.removed_calls(now)) if table is not None]
        fresh = self._days(endpoint, calls, lambda row: told(endpoint, row))
        self.rows |= fresh
        listed: dict[str, list[pa.Table]] = {}
        for name, table in side_tables:
            listed.setdefault(name, []).append(table)
        rejected = listed.get("rejected_records", [])
        self.rejected |= self._days(endpoint, rejected, lambda row: told(endpoint, orjson.loads(row["record"])))
        for row in (row for table in listed.get("unplaced_records", []) for row in table.to_pylist()):
            self.unplaced[endpoint, row["record_hash"]] = row
        for table in listed.get("lists", []):
            self.whole_reads[endpoint] = table["whole_read_at"][0].as_py()

    @staticmethod
    def _days(endpoint: str, tables: list[pa.Table], tell: Callable[[Wire], str]) -> dict[tuple[str, date], list[str]]:
        """Rows by day, a removed day with none; no day is both filled and removed."""
        days: dict[tuple[str, date], list[str]] = {}
        removed: set[tuple[str, date]] = set()
        for row in (row for table in tables for row in table.to_pylist()):
            key = (endpoint, row["call_day"])
            if row.get(REMOVED):
                removed.add(key)
            else:
                days.setdefault(key, []).append(tell(row))
        assert not removed & days.keys()
        return days | {key: [] for key in removed}

    def unplaced_now(self, endpoint: str) -> Counter[str]:
        """The records without a start that the last whole read of the list saw, as often as it did."""
        last = self.whole_reads[endpoint]
        rows = [row for (name, _), row in self.unplaced.items() if name == endpoint and row["last_seen_at"] >= last]
        return Counter({told(endpoint, orjson.loads(row["record"])): row["copies_count"] for row in rows})

    def all_of(self, kind: dict[tuple[str, date], list[str]], endpoint: str) -> Counter[str]:
        """Every row of an endpoint, as often as it is there."""
        return Counter(row for (name, _), rows in kind.items() if name == endpoint for row in rows)


def told(endpoint: str, row: Wire) -> str:
    """What tells a call, typed or on the wire: who called when, and when it ended."""
    who = row["callerid" if endpoint == "queue_calls" else "from_number"]
    return f"{who} {instant(row['call_start_at'])} {instant(row['call_finished_at'])}"


def instant(value: datetime | str | None) -> str:
    """An instant, typed or on the wire, as one text."""
    return value.isoformat() if isinstance(value, datetime) else str(value)


def read_night(
    pbx: ListedPBX,
    replica: Replica,
    *,
    packages: int = 1000,
    is_killed: bool = False,
    is_stranger: bool = False,
    endpoints: tuple[str, ...] = ENDPOINTS,
    allow_shrink: bool = False,
    **settings: Any,
) -> None:
    """Runs a source and loads its packages until it is done or refused; a killed one has its last package unloaded.

    A stranger's runs are of one source all; otherwise only lists that are left are run again, as `calls load` does.
    """
    account = replace(ACCOUNT, **settings)
    begun = pbx.now.timestamp()
    session = Session(ReadOptions(allow_shrink=allow_shrink, clock=lambda: begun))
    lists = endpoints
    for number in range(packages):
        outcome = Outcome()
        stored = {endpoint: replica.stored(endpoint) for endpoint in lists}
        load_id = f"{begun}.{pbx.packages}"
        pbx.packages += 1
        run = session.begin(account, cast(Client, pbx), stored, outcome, load_id=load_id)
        turns = deque(session.readers.values())
        while turns:
            if turns[0].read_page():
                turns.rotate(-1)
            else:
                turns.popleft()
        error = None
        try:
            session.end(run, load_id)
        except CallsError as raised:
            error = raised
        if is_killed and (not outcome.has_more or outcome.error or number == packages - 1):
            return
        if error is None:
            replica.load(session.readers, load_id)
        if outcome.error is not None and not isinstance(outcome.error, BudgetSpent | Interrupted | PbxUnavailable):
            raise outcome.error
        if not outcome.has_more or outcome.error is not None:
            return
        lists = endpoints if is_stranger else outcome.lists_left


def make_calls(rng: Random, nights: int, a_day: int) -> list[Call]:
    """Calls from weeks before the first night on: some turn up late, some take days to end, some never end.

    Those that cannot be read have ended: whether a rejected record is of an unfinished call, nobody knows.
    """
    made = []
    for number in range(a_day * (nights + 25)):
        start = BEGIN + timedelta(seconds=rng.randrange(-25 * 86_400, nights * 86_400))
        is_bad = rng.random() < 0.02
        length = 0 if is_bad else rng.choice((30, 600, 600, 600, 3 * 3600, rng.randrange(5 * 86_400)))
        end = NEVER if rng.random() < 0.005 and not is_bad else start + timedelta(seconds=length)
        late = rng.randrange(86_400) if rng.random() < 0.05 else 0
        made.append(Call(start, end, start + timedelta(seconds=late), f"+6125550{number % 10_000:04}", is_bad))
    return made
