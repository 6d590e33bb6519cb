"""Raw records for the marts' test: accounts in five time zones, simulated, with every awkward case mixed in.

A row is a dict of the columns that `SCHEMAS` names; nothing here knows a definition of a metric.
"""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import product
from typing import Any
from zoneinfo import ZoneInfo

from pipelines.sandbox.callcentre import CallCentre, simulate, staffed
from pipelines.voipcloud.schemas import SQL_TABLES

Row = dict[str, Any]
Raw = dict[str, list[Row]]  # table → rows
Told = tuple[str, Row]  # endpoint, row

ENDPOINTS = ("user_calls", "queue_calls", "ringgroup_calls")
NAME_FIELD = {"queue_calls": "queue_name", "ringgroup_calls": "ring_group_name"}
HIDDEN = (None, "", "anonymous", "Anonymous", "private", "PRIVATE", "withheld", "unknown", "Unknown", " ", "0")
BORDERS = (0, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600)  # of buckets, and some queues' targets and cuts
SUPPORT, SALES = ("queue_calls", "Support"), ("queue_calls", "Sales")
RECEPTION, NAMESAKE = ("ringgroup_calls", "Reception"), ("queue_calls", "Reception")  # a queue may be called alike
SELDOM = ("queue_calls", "Seldom")
NUMBER = {SUPPORT: "+61255500000", SALES: "+61255500100", RECEPTION: "+61255500800", NAMESAKE: "+61255500800"}
SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
Place = tuple[str, str]  # endpoint, queue


@dataclass(frozen=True)
class Account:
    """One PBX and its span of local days; `changes` are the instants at which its clocks are changed."""

    name: str
    timezone: str
    first_day: date
    days: int
    calls_per_day: float
    changes: tuple[datetime, ...] = ()

    @property
    def opens_at(self) -> datetime:
        """The first instant of the span, in UTC."""
        return local_instant(self, self.first_day)

    @property
    def loaded_at(self) -> datetime:
        """When the first night's load was: two hours after the last local day but one."""
        return local_instant(self, self.first_day + (self.days - 1) * DAY) + 2 * HOUR


ACCOUNTS = (
    Account(
        "sydney",
        "Australia/Sydney",
        date(2025, 9, 25),
        203,
        102,
        (datetime(2025, 10, 4, 16, tzinfo=UTC), datetime(2026, 4, 4, 16, tzinfo=UTC)),
    ),
    Account(
        "berlin",
        "Europe/Berlin",
        date(2025, 10, 18),
        176,
        117,
        (datetime(2025, 10, 26, 1, tzinfo=UTC), datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ),
    Account(
        "newyork",
        "America/New_York",
        date(2025, 10, 27),
        144,
        142,
        (datetime(2025, 11, 2, 6, tzinfo=UTC), datetime(2026, 3, 8, 7, tzinfo=UTC)),
    ),
    Account("dubai", "Asia/Dubai", date(2025, 12, 25), 80, 250),
    Account(
        "adelaide",
        "Australia/Adelaide",
        date(2025, 9, 28),
        201,
        103,
        (datetime(2025, 10, 4, 16, 30, tzinfo=UTC), datetime(2026, 4, 4, 16, 30, tzinfo=UTC)),
    ),
)


def local_instant(account: Account, day: date) -> datetime:
    """The instant at which a local day begins."""
    return datetime.combine(day, time(), ZoneInfo(account.timezone)).astimezone(UTC)


def visit(place: Place, entered: datetime, wait: float | None, status: str | None, **fields: Any) -> Told:
    """A visit that waited so many seconds, then talked for 70 if `status` is answered; a `wait` of None has no end."""
    left = None if wait is None else entered + timedelta(seconds=wait)
    row: Row = {NAME_FIELD[place[0]]: place[1], "callerid": "+12025550100", "inbound_number": NUMBER.get(place)}
    row |= {"call_start_at": entered, "call_answered_at": None, "call_finished_at": left}
    row |= {"answered_by_user_name": None, "status": status}
    if status == "answered" and left:
        row |= {"call_answered_at": left, "call_finished_at": left + 70 * SECOND, "answered_by_user_name": "Zoë Müller"}
    return place[0], row | fields


def user_call(start: datetime, seconds: int | None, talk: int | None, **fields: Any) -> Told:
    """An inbound call of a user."""
    row: Row = {"from_number": "+12025550100", "to_number": "+61255501000", "user_name": "Zoë Müller"}
    row |= {"is_inbound": True, "call_start_at": start, "call_duration": seconds, "conversation_duration": talk}
    row |= {"call_finished_at": None if seconds is None else start + seconds * SECOND}
    return "user_calls", row | fields


def simulated(account: Account) -> Iterator[Told]:
    """A short-staffed centre's calls, about 20,000 of them in queues; for a week it is closed, as a queue may be."""
    centre = staffed(CallCentre(seed=7, timezone=account.timezone, calls_per_day=70.0))
    slow = tuple(
        replace(queue, talk_seconds=2.5 * queue.talk_seconds, patience_seconds=90.0) for queue in centre.queues
    )
    centre = replace(centre, first_day=account.first_day, days=account.days, queues=slow)
    closes, opens = account.opens_at + 30 * DAY, account.opens_at + 37 * DAY
    for endpoint, table in simulate(replace(centre, calls_per_day=account.calls_per_day)).items():
        for row in table.to_pylist():
            if not closes <= row["call_start_at"] < opens:
                yield endpoint, row


def awkward(account: Account, dice: random.Random) -> Iterator[Told]:
    """Every kind of trouble, scattered over the account's days."""
    numbers = (f"+1{area}55501{n:02}" for area in range(202, 999) for n in range(100))

    def some_time() -> datetime:
        return account.opens_at + dice.randrange(86_400, int((account.days - 4) * 86_400)) * SECOND

    yield from exact_waits(some_time, numbers)
    yield from odd_records(account, some_time, numbers)
    yield from around_borders(account, dice, numbers)
    yield from sequences(some_time, numbers)
    yield from users_at_odds(some_time, numbers)
    quiet = account.opens_at + 31 * DAY
    for days in (0.2, 2.7, 2.70001):
        yield visit(SUPPORT, quiet + days * DAY, 12, "answered", callerid=next(numbers))
    for days in (3.3, 28.5, 61.1):
        yield visit(SELDOM, account.opens_at + days * DAY, 25, "abandoned", callerid=next(numbers))


def exact_waits(some_time: Any, numbers: Iterator[str]) -> Iterator[Told]:
    """Waits on, just below and just above each border, in each outcome, in queues of different targets."""
    for place, status in product((SUPPORT, SALES, RECEPTION), ("answered", "abandoned", "timedout")):
        for border, off in product((*BORDERS, 3, 25), (-1, 0, 1)):
            if border + off >= 0:
                yield visit(place, some_time(), border + off, status, callerid=next(numbers))
    for wait in (0.0, 0.75, 4.999, 5.001, 19.999999, 20.000001, 20.5, 20.75):  # a PBX may tell fractions
        entered = some_time() + timedelta(milliseconds=250)
        yield visit(SALES, entered, wait, "answered", callerid=next(numbers))
        yield visit(SALES, entered + HOUR, wait, "abandoned", callerid=next(numbers))


def odd_records(account: Account, some_time: Any, numbers: Iterator[str]) -> Iterator[Told]:
    """Statuses, ends, answers and numbers that are missing, unknown, or contradict each other."""
    for at in (some_time(), some_time(), account.loaded_at - HOUR, account.loaded_at - 50 * SECOND):
        yield visit(SUPPORT, at, None, None, callerid=next(numbers))
        yield visit(SALES, at, None, None, callerid=next(numbers), call_answered_at=at + 9 * SECOND)
        yield visit(RECEPTION, at, None, None, callerid="anonymous")
        yield visit(RECEPTION, at, None, "ringing", callerid=next(numbers))
        yield visit(SUPPORT, at - HOUR, 50, None, callerid=next(numbers))
    for status, place in product(("voicemail", "transferred"), (SUPPORT, NAMESAKE)):
        at = some_time()
        yield visit(place, at, 30, status, callerid=next(numbers))
        yield visit(place, at + HOUR, 30, status, callerid=next(numbers), call_answered_at=at + HOUR + 8 * SECOND)
    for place in (SUPPORT, SALES, RECEPTION):
        yield visit(place, some_time(), 40, "answered", callerid=next(numbers), call_answered_at=None)
        unnamed = {"call_answered_at": None, "answered_by_user_name": None}
        yield visit(place, some_time(), 40, "answered", callerid=next(numbers), **unnamed)
        yield visit(place, some_time(), 7, "answered", callerid=next(numbers), call_finished_at=None)
        yield visit(place, some_time(), 8, "answered", callerid=next(numbers), answered_by_user_name=None)
        yield visit(place, some_time(), None, "abandoned", callerid=next(numbers))
        at = some_time()
        yield visit(place, at, 33, "abandoned", callerid=next(numbers), call_answered_at=at + 30 * SECOND)
        yield visit(place, some_time(), 6, "answered", callerid=next(numbers), inbound_number=None)
    for hidden, status in product(HIDDEN, ("answered", "abandoned", "timedout")):
        at = some_time()
        yield visit(SALES, at, 14, status, callerid=hidden)
        yield visit(SALES, at + 24 * SECOND, 14, status, callerid=hidden)  # linked and repeated, were it a number
        yield user_call(at + HOUR, 60, 50, from_number=hidden)


def around_borders(account: Account, dice: random.Random, numbers: Iterator[str]) -> Iterator[Told]:
    """Calls that enter, leave or last over midnights, quarters of an hour, and clock changes; several at once."""
    midnights = [local_instant(account, account.first_day + n * DAY) for n in (2, 9, 16, 45, 60)]
    for midnight in midnights:
        for place, off in product((SUPPORT, RECEPTION), (-1000, -61, -1, 0, 1, 880, 899, 900, 901)):
            for wait, status in ((0, "answered"), (1, "abandoned"), (61, "answered"), (1800, "timedout")):
                yield visit(place, midnight + off * SECOND, wait, status, callerid=next(numbers))
        long = midnight - 2 * HOUR
        yield visit(SALES, long, 7200, "answered", callerid=next(numbers))  # answered at midnight sharp
        yield visit(SALES, long, 30, "answered", callerid=next(numbers), call_finished_at=midnight + 2 * HOUR)
    for change in account.changes:
        for minute in range(-180, 240, 5):
            entered = change + timedelta(minutes=minute, seconds=dice.randrange(2))
            status = dice.choice(("answered", "answered", "abandoned", "timedout"))
            yield visit(dice.choice((SUPPORT, SALES)), entered, dice.randrange(900), status, callerid=next(numbers))
            yield user_call(entered, 1200, 1100, from_number=next(numbers), is_inbound=dice.random() < 0.5)


def sequences(some_time: Any, numbers: Iterator[str]) -> Iterator[Told]:
    """Callers who move on, ring again, or are rung back, on each side of what links one call to the next."""
    for gap in (0, 1, 9, 10, 11):
        at, caller = some_time(), next(numbers)
        for number, place in enumerate((SUPPORT, SALES, RECEPTION)):  # 30 s each, then on, by one inbound number
            entered = at + number * (30 + gap) * SECOND
            status = "answered" if place == RECEPTION else "timedout"
            yield visit(place, entered, 30, status, callerid=caller, inbound_number=NUMBER[SUPPORT])
        yield visit(SALES, at + 5 * HOUR, 30, "abandoned", callerid=caller)
        yield visit(SALES, at + 5 * HOUR + (30 + gap) * SECOND, 30, "abandoned", callerid=caller, inbound_number=None)
    for apart in (timedelta(), SECOND, 23 * HOUR, DAY - SECOND, DAY, DAY + SECOND, 3 * DAY):
        for place, again in ((SUPPORT, SUPPORT), (RECEPTION, NAMESAKE)):
            at, caller = some_time(), next(numbers)
            yield visit(place, at, 12, "abandoned", callerid=caller)
            yield visit(again, at + apart, 12, "abandoned", callerid=caller)
    for after in (-5, -1, 0, 1, 3600, 72 * 3600 - 1, 72 * 3600, 72 * 3600 + 1):
        for status in ("abandoned", "timedout", "voicemail"):
            at = some_time()
            lost, back = at + 20 * SECOND, at + (20 + after) * SECOND
            callers = [next(numbers) for _ in range(6)]
            for caller in callers:
                yield visit(SALES, at, 20, status, callerid=caller)
            out = {"is_inbound": False, "from_number": "200"}
            yield user_call(back, 60, 50, to_number=callers[0], **out)
            yield user_call(back, 60, 0, to_number=callers[1], **out)
            yield user_call(lost + HOUR, 60, 50, to_number=callers[1], **out)
            yield user_call(back, 60, 50, from_number=callers[2])
            yield visit(RECEPTION, back, 9, "answered", callerid=callers[3])
            yield visit(SUPPORT, back, 9, "answered", callerid=callers[4], call_answered_at=None)
            yield user_call(back, 60, 50, to_number=callers[4], **out)
            yield visit(RECEPTION, back, 9, "abandoned", callerid=callers[5])


def users_at_odds(some_time: Any, numbers: Iterator[str]) -> Iterator[Told]:
    """Users' calls without durations, ends, names or numbers, and of lengths that disagree."""
    for seconds, talk in ((None, None), (60, None), (None, 30), (30, 60), (0, 0), (20, 0), (45, 45)):
        for inbound in (True, False):
            yield user_call(some_time(), seconds, talk, from_number=next(numbers), is_inbound=inbound)
            yield user_call(some_time(), seconds, talk, call_finished_at=None, user_name="Only Here")
    for field in ("user_name", "from_number", "to_number"):
        yield user_call(some_time(), 60, 40, **{field: None})
        yield user_call(some_time(), 60, 40, **{field: None, "is_inbound": False})


def all_calls(account: Account) -> list[Told]:
    """The account's calls, a few of them told two or three times over."""
    dice = random.Random(account.name)
    told = [*simulated(account), *awkward(account, dice)]
    told += dice.choices(told, k=90)
    return [(endpoint, row) for endpoint, row in told if not is_gap(account, endpoint, row["call_start_at"].date())]


def is_gap(account: Account, endpoint: str, day: date) -> bool:
    """Whether the day was never loaded."""
    return endpoint == "ringgroup_calls" and 32 <= (day - account.first_day).days < 34


def as_loaded(account: Account, endpoint: str, row: Row, loaded_at: datetime) -> Row:
    """The row as it stands in `raw`."""
    kept = dict.fromkeys(SQL_TABLES[endpoint]) | row
    if endpoint == "user_calls":
        kept["is_inbound"] = bool(row["is_inbound"])
    kept |= {"account": account.name, "call_day": row["call_start_at"].date()}
    return kept | load_of(account, loaded_at)


def load_of(account: Account, loaded_at: datetime) -> Row:
    """When a row was loaded, and by which load of dlt's."""
    return {"loaded_at": loaded_at, "_dlt_load_id": f"{account.name}-{loaded_at.timestamp():.0f}"}


def loaded_days(account: Account, raw: Raw, first: date, last: date, loaded_at: datetime) -> Iterator[Row]:
    """What the load says of each day from `first` to `last` of an account in `raw`; of ring groups two are missing."""
    for endpoint in ENDPOINTS:
        mine = [row for row in raw[endpoint] if row["account"] == account.name]
        calls = Counter(row["call_day"] for row in mine)
        unfinished = Counter(row["call_day"] for row in mine if row["call_finished_at"] is None)
        bad = [row for row in raw["rejected_records"] if (row["account"], row["endpoint"]) == (account.name, endpoint)]
        rejected = Counter(row["call_day"] for row in bad)
        for n in range((last - first).days + 1):
            day = first + n * DAY
            if is_gap(account, endpoint, day):
                continue
            row = {"account": account.name, "endpoint": endpoint, "call_day": day} | load_of(account, loaded_at)
            row |= {"calls_count": calls[day], "rejected_count": rejected[day], "unfinished_count": unfinished[day]}
            shrunk = 3 if (endpoint, (day - account.first_day).days) == ("queue_calls", 20) else None
            yield row | {"is_settled": day < last - DAY, "offered_less_count": shrunk}
