"""Two nights of the marts' test: all there was at the first load, and what a second load, a day later, brings anew."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime

from pipelines.voipcloud.schemas import SCHEMAS
from tests.support.marts_truth.records import (
    DAY,
    HOUR,
    SECOND,
    SELDOM,
    SUPPORT,
    Account,
    Raw,
    Row,
    Told,
    all_calls,
    as_loaded,
    load_of,
    loaded_days,
    visit,
)

# Days into the span that the second load reads again, by what has happened to them.
AGAIN = {"recovered": 50, "late": 45, "gone": 55, "talk": 60, "same": 62, "appeared": 65}


@dataclass(frozen=True)
class Nights:
    """`raw` after each night."""

    first: Raw
    second: Raw


def two_nights(accounts: Iterable[Account]) -> Nights:
    """The records of all accounts, as two loads a day apart leave them."""
    first: Raw = {table: [] for table in SCHEMAS}
    second: Raw = {table: [] for table in SCHEMAS}
    for account in accounts:
        early, late = account.loaded_at, account.loaded_at + DAY
        told = [*all_calls(account), *seldom(account, "gone")]
        days = {account.first_day + n * DAY for n in AGAIN.values()} | {early.date() + n * DAY for n in (-2, -1, 0, 1)}
        for name, row in as_of(told, early):
            loaded = as_loaded(account, name, row, early)
            first[name].append(loaded)
            if loaded["call_day"] not in days:
                second[name].append(loaded)
        for name, row in as_of(restated(account, told), late):
            if row["call_start_at"].date() in days:
                second[name].append(as_loaded(account, name, row, late))
        for raw, now in ((first, early), (second, late)):
            add_surroundings(raw, account, early, now, days)
    return Nights(first, second)


def as_of(told: Iterable[Told], now: datetime) -> Iterator[Told]:
    """What the PBX tells at an instant: calls to come are missing, and those not ended have neither end nor status."""
    for endpoint, row in told:
        end, answered = row["call_finished_at"], row.get("call_answered_at")
        if row["call_start_at"] > now:
            continue
        if end is None or end <= now:
            yield endpoint, row
        elif endpoint == "user_calls":
            yield endpoint, row | {"call_finished_at": None, "call_duration": None, "conversation_duration": None}
        else:
            so_far = {"call_answered_at": answered if answered and answered <= now else None}
            yield endpoint, row | so_far | {"call_finished_at": None, "status": None, "answered_by_user_name": None}


def restated(account: Account, told: list[Told]) -> Iterator[Told]:
    """The calls as they stand when read again: some changed, one gone, some new."""
    day = {what: account.first_day + n * DAY for what, n in AGAIN.items()}
    dropped = False
    for endpoint, row in told:
        started = row["call_start_at"].date()
        if row.get("queue_name") == SELDOM[1] and started == day["gone"]:
            continue
        if started == day["late"] and not dropped and row.get("status") == "answered":
            dropped = True
        elif started == day["recovered"] and row.get("status") == "abandoned" and row["call_finished_at"]:
            answer = {"status": "answered", "call_answered_at": row["call_finished_at"]}
            yield endpoint, row | answer | {"call_finished_at": row["call_finished_at"] + 90 * SECOND}
        elif started == day["talk"] and row.get("status") == "answered" and row["call_finished_at"]:
            yield endpoint, row | {"call_finished_at": row["call_finished_at"] + 3 * SECOND}
        else:
            yield endpoint, row
    yield from seldom(account, "appeared")
    for n in range(3):
        start = account.opens_at + AGAIN["late"] * DAY + (12 + n) * HOUR
        yield visit(SUPPORT, start, 31, "abandoned", callerid="+12025550177")


def seldom(account: Account, what: str) -> Iterator[Told]:
    """One call to a queue that has no other for days around."""
    noon = account.opens_at + AGAIN[what] * DAY + 12 * HOUR
    yield visit(SELDOM, noon, 11, "answered", callerid="+12025550188")


def add_surroundings(raw: Raw, account: Account, early: datetime, now: datetime, days: set[date]) -> None:
    """What else a load leaves in `raw`: the account, the days it loaded, the system's status, and records
    that could not be read."""
    raw["accounts"].append({"account": account.name, "timezone": account.timezone} | load_of(account, now))
    for at in sorted({early, now}):
        status = {"account": account.name, "checked_at": at, "status": "operational", "payload": "{}"}
        raw["system_status"].append(status | {"_dlt_load_id": load_of(account, at)["_dlt_load_id"]})
    bad: Row = {"account": account.name, "endpoint": "queue_calls", "record": "{}"} | load_of(account, early)
    bad |= {"reason": "call_start_at is missing"}
    raw["rejected_records"] += [bad | {"call_day": account.first_day + n * DAY} for n in (7, 7, 12)]
    raw["unplaced_records"] += unplaced_records(account, early, now)
    # the ring groups' first read has not come to its end yet
    for endpoint in ("user_calls", "queue_calls"):
        read = {"account": account.name, "endpoint": endpoint, "whole_read_at": now}
        raw["lists"].append(read | {"_dlt_load_id": load_of(account, now)["_dlt_load_id"]})
    last = now.date()
    for row in loaded_days(account, raw, account.opens_at.date(), last, early):
        raw["loaded_days"].append(row | (load_of(account, now) if row["call_day"] in days else {}))


def unplaced_records(account: Account, early: datetime, now: datetime) -> Iterator[Row]:
    """Records without a start: seen as a read begins, a little later, and no longer since the first night."""
    seen = {
        "user_calls": [(early, 5)],
        "queue_calls": [(early, 2), (now, 3), (now + 90 * SECOND, 1)],
        "ringgroup_calls": [(now, 4)],
    }
    for endpoint, rows in seen.items():
        for number, (last_seen_at, copies) in enumerate(rows):
            yield {
                "account": account.name,
                "endpoint": endpoint,
                "record_hash": f"{number:032x}",
                "copies_count": copies,
                "first_seen_at": early,
                "last_seen_at": last_seen_at,
                "record": "{}",
                "reason": "call_start_at is missing",
                "_dlt_load_id": load_of(account, last_seen_at)["_dlt_load_id"],
            }
