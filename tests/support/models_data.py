"""Random raw tables to build models from: few callers, long calls, odd statuses, and days around both DST changes."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from random import Random
from string import Template
from typing import Any

ZONES = {
    "sydney": "Australia/Sydney",
    "kolkata": "Asia/Kolkata",
    "newfoundland": "America/St_Johns",
}
ENDPOINTS = ("user_calls", "queue_calls", "ringgroup_calls")
CALLERS = ["+6125550010" + str(digit) for digit in range(6)] + ["anonymous", None, " Withheld "]
INBOUND = ["+61255500200", "+61255500201", None]
USERS = ["Ada", "Grace", "Edsger", None]
DELETE = Template("delete from raw.$table where (account, call_day) in ($which)")
LISTS = Template("delete from raw.lists where (account, endpoint) = ('$account', '$endpoint')")
UNPLACED = Template(
    "delete from raw.unplaced_records"
    " where (account, endpoint, record_hash) = ('$account', '$endpoint', '$record_hash')"
)
INSERT = Template("insert into raw.$table ($columns) values $values")
STATUSES = ["answered"] * 5 + ["abandoned"] * 3 + ["timedout", "voicemail", None]

Execute = Callable[[str], Any]
Row = dict[str, Any]
Days = dict[tuple[str, date], list[Row]]


def random_call(random: Random, endpoint: str, day: date) -> dict[str, Any]:
    """One wire-like record of `endpoint` that starts on the UTC `day`."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(seconds=random.randrange(86_400))
    caller = random.choice(CALLERS)
    if endpoint == "user_calls":
        ring, talk = random.randrange(30), random.choice([0, 0, random.randrange(600)])
        ends = start + timedelta(seconds=ring + talk)
        return {
            "from_number": caller if (inbound := random.random() < 0.5) else "101",
            "to_number": "101" if inbound else random.choice(CALLERS[:6]),
            "user_name": random.choice(USERS),
            "is_inbound": inbound,
            "call_start_at": start,
            "call_duration": ring + talk,
            "call_finished_at": None if random.random() < 0.05 else ends,
            "conversation_duration": talk,
            "extra": None,
        }
    status = random.choice(STATUSES)
    wait = timedelta(seconds=random.choice([0, 5, 20, random.randrange(700), random.randrange(700)]))
    talk_time = timedelta(seconds=random.choice([random.randrange(900), random.randrange(900), 90_000]))
    answered = start + wait if status == "answered" and random.random() < 0.95 else None
    finished = None if random.random() < 0.1 else (answered + talk_time if answered else start + wait)
    return {
        "queue_name" if endpoint == "queue_calls" else "ring_group_name": random.choice(["Sales", "Support"]),
        "callerid": caller,
        "inbound_number": random.choice(INBOUND),
        "call_start_at": start,
        "call_answered_at": answered,
        "call_finished_at": finished,
        "answered_by_user_name": random.choice(USERS) if answered else None,
        "status": status,
        "extra": random.choice([None, None, '{"tag": "vip"}']),
    }


def random_day(random: Random, endpoint: str, day: date, calls: int) -> list[dict[str, Any]]:
    """Up to `calls` records of one UTC day: some alike, some following the end of another within seconds."""
    rows = [random_call(random, endpoint, day) for _ in range(random.randrange(calls + 1))]
    for row in list(rows):
        chance = random.random()
        if chance < 0.1:
            rows.append(dict(row))
        ended = row["call_finished_at"]
        if chance > 0.7 and ended is not None and ended.date() == day and endpoint != "user_calls":
            follower = random_call(random, endpoint, day)
            shift = ended + timedelta(seconds=random.choice([0, 3, 10, 11])) - follower["call_start_at"]
            moved = {name: value + shift for name, value in follower.items() if isinstance(value, datetime)}
            if moved["call_start_at"].date() == day:
                rows.append(follower | moved | {name: row[name] for name in ("callerid", "inbound_number")})
    return rows


def store_accounts(execute: Execute, zones: dict[str, str]) -> None:
    """Replace raw.accounts by `zones`, name → IANA zone."""
    execute("delete from raw.accounts")
    insert(execute, "accounts", [{"account": name, "timezone": zone} for name, zone in zones.items()])


def store_days(execute: Execute, endpoint: str, days: Days, loaded_at: datetime) -> None:
    """Replace UTC days of one endpoint, as a load does: (account, day) → its rows, of which there may be none."""
    which = ", ".join(f"('{account}', date '{day}')" for account, day in days)
    if not which:
        return
    execute(DELETE.substitute(table=endpoint, which=which))
    execute(DELETE.substitute(table="loaded_days", which=which) + f" and endpoint = '{endpoint}'")
    calls: list[Row] = []
    loaded: list[Row] = []
    for (account, day), rows in days.items():
        marks = {"account": account, "call_day": day, "loaded_at": loaded_at}
        calls += [marks | row for row in rows]
        unfinished = sum(row["call_finished_at"] is None for row in rows)
        counts = {"calls_count": len(rows), "rejected_count": 0, "unfinished_count": unfinished, "is_settled": True}
        loaded.append(marks | {"endpoint": endpoint} | counts)
    insert(execute, endpoint, calls)
    insert(execute, "loaded_days", loaded)


def store_unplaced(execute: Execute, endpoint: str, accounts: Iterable[str], read_at: datetime) -> None:
    """One whole read of a list: it sees some of five records without a start again, and the others not any more."""
    random = Random(f"{endpoint} {read_at}")
    for account in accounts:
        whose = {"account": account, "endpoint": endpoint}
        for number in random.sample(range(5), random.randrange(4)):
            row = whose | {"record_hash": f"{number:032x}", "copies_count": random.randrange(1, 4)}
            row |= {"first_seen_at": read_at, "last_seen_at": read_at + timedelta(minutes=number)}
            execute(UNPLACED.substitute(row))
            insert(execute, "unplaced_records", [row | {"record": "{}", "reason": "call_start_at is missing"}])
        execute(LISTS.substitute(whose))
        insert(execute, "lists", [whose | {"whole_read_at": read_at}])


def insert(execute: Execute, table: str, rows: Sequence[dict[str, Any]]) -> None:
    """Insert `rows`, all of the same columns, into raw.`table`."""
    if rows:
        values = ", ".join("(" + ", ".join(map(_literal, row.values())) + ")" for row in rows)
        execute(INSERT.substitute(table=table, columns=", ".join(rows[0]), values=values))


def _literal(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool | int):
        return str(value).lower()
    text = value.isoformat() if isinstance(value, date) else str(value)
    return "'" + text.replace("'", "''") + "'"
