"""A PBX in memory whose lists move, the reader over it night by night, and what a warehouse would hold of it."""

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any, cast
from zoneinfo import ZoneInfo

import orjson
from msgspec import Raw

from pipelines.errors import BudgetSpent, CallsError, Interrupted, PbxUnavailable
from pipelines.voipcloud.client import Client
from pipelines.voipcloud.coverage import DAY, Coverage
from pipelines.voipcloud.packages import Package
from pipelines.voipcloud.reader import AccountReader, Order

BEGIN = datetime(2026, 3, 20, tzinfo=UTC)
ENDPOINTS = ("queue_calls", "user_calls")
NEVER = datetime(2100, 1, 1, tzinfo=UTC)
Wire = dict[str, Any]


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
    """What a warehouse holds that replaces whole days: calls and rejected records by endpoint and day, and coverage."""

    rows: dict[tuple[str, date], list[str]] = field(default_factory=dict)
    rejected: dict[tuple[str, date], list[str]] = field(default_factory=dict)
    state: str = "{}"

    @property
    def coverage(self) -> dict[str, Coverage]:
        """Coverage by endpoint, from its JSON."""
        return {endpoint: Coverage.from_state(kept) for endpoint, kept in json.loads(self.state).items()}

    def load(self, package: Package) -> None:
        """Replaces the days of a package, as one."""
        fresh: dict[tuple[str, date], list[str]] = {}
        for endpoint, table in package.take_tables():
            for row in table.to_pylist():
                fresh.setdefault((endpoint, row["call_day"]), []).append(told(endpoint, row))
        bad: dict[tuple[str, date], list[str]] = {}
        for row in package.rejected:
            wire = orjson.loads(row["record"])
            bad.setdefault((row["endpoint"], row["call_day"]), []).append(told(row["endpoint"], wire))
        emptied = {(endpoint, day) for endpoint, days in package.emptied.items() for day in days}
        cleared = {(endpoint, day) for endpoint, days in package.cleared.items() for day in days}
        assert not emptied & fresh.keys()
        assert not cleared & bad.keys()
        self.rows |= fresh | {key: [] for key in emptied}
        self.rejected |= bad | {key: [] for key in cleared}
        kept = {endpoint: known.to_state() for endpoint, known in package.coverage.items()}
        self.state = json.dumps(json.loads(self.state) | kept)
        for row in package.loaded_days:
            key = (row["endpoint"], row["call_day"])
            assert row["calls_count"] == len(self.rows.get(key, []))
            assert row["rejected_count"] == len(self.rejected.get(key, []))

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
    pbx: ListedPBX, replica: Replica, *, packages: int = 1000, is_killed: bool = False, **order: Any
) -> None:
    """One run: reads and loads packages until it is done or refused; a killed one has its last package unloaded."""
    options = Order(**({"account": "main", "timezone": "UTC", "names": {}, "endpoints": ENDPOINTS} | order))
    begun = pbx.now.timestamp()
    with AccountReader(cast(Client, pbx), options, replica.coverage, clock=lambda: begun) as reader:
        for number in range(packages):
            package = reader.read_package()
            if is_killed and (package.done or package.error or number == packages - 1):
                return
            replica.load(package)
            if package.error is not None and not isinstance(package.error, BudgetSpent | Interrupted | PbxUnavailable):
                raise package.error
            if package.done or package.error is not None:
                return


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
