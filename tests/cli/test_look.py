"""`calls status`, `budget` and `system-status`: what they show."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from pipelines.sandbox.account import Account
from pipelines.sandbox.faults import Fault
from pipelines.voipcloud.coverage import DateRange
from tests.support.messages import KEY, assert_told
from tests.support.site import Site, queue_call, user_call

MakeSite = Callable[..., Site]
CALLS_OF_A_DAY = [user_call(datetime(2026, 3, 2, 12, tzinfo=UTC) - timedelta(minutes=n)) for n in range(30)]


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """A PBX with thirty calls."""
    return make_site(Account(KEY, {"user_calls": CALLS_OF_A_DAY}))


def test_status_of_a_load(site: Site) -> None:
    """Status shows how long ago a load was, and the budget how much of which time is used."""
    assert "never" in site.run("status").out
    assert site.load().error is None
    shown = site.run("status").out
    assert "seconds ago" in shown
    assert "never" not in [line.split()[-1] for line in shown.splitlines() if line.startswith(" user")]
    assert "main: 4 of 100 requests used in 15 minutes" in shown
    site.set_setting("budget.requests", "4")
    site.set_setting("budget.reserve_interactive", "0")
    assert "next request in 1" in site.run("budget").out  # 14 or 15 minutes


def test_system_status_of_several(make_site: MakeSite) -> None:
    """One account's refusal does not hide the others' status. A status holds no phone number and no terminal codes,
    and one nested too deep is an error without a traceback."""
    word = {"status": "down, ring +61 491 570 006 \x1b[31mnow\nat once"}
    deep: object = "ok"
    for _ in range(250):
        deep = [deep]
    names = {"north": word, "south": {"status": "operational"}, "west": deep}
    site = make_site(*(Account(name, {}, name=name, system_status=said) for name, said in names.items()))
    site.pbx.fault("401", times=None, account="south")
    ran = site.run("system-status", "--json")
    assert_told(ran, 77, "south: the PBX")
    assert [one["account"] for one in orjson.loads(ran.out)["accounts"]] == ["north", "west"]
    ran = site.run("system-status")
    assert_told(ran, 77)
    assert ran.out.startswith("north: down, ring")
    assert "\x1b" not in ran.out
    ran = site.run("load")
    assert "'down, ring" in ran.err
    assert_told(ran, 77)


def test_status_of_what_is_wrong(site: Site) -> None:
    """Status reports records that could not be read, calls that had not ended, and days that were kept."""
    now = datetime.now(UTC).replace(microsecond=0)
    site.pbx.insert("queue_calls", *[queue_call(now - timedelta(hours=n), call_finished_at=None) for n in (3, 2, 1)])
    site.pbx.insert("queue_calls", queue_call(now - timedelta(minutes=5), status=[1]))
    assert site.run("load").code == 0
    site.pbx.remove("queue_calls", 1)
    assert site.run("load").code == 0
    shown = site.run("status").out
    assert "1 records could not be read: see raw.rejected_records" in shown
    assert "had not ended when they were read" in shown
    assert "was left as it is, because the PBX offered only" in shown


def test_status_of_records_without_a_start(make_site: MakeSite) -> None:
    """Status counts the records without a start, copies included, that the last whole read of a list saw; while a read
    has not come to its end the number is unknown. No line speaks of none."""
    starts = [datetime(2026, 3, 2, 12, tzinfo=UTC) - timedelta(minutes=30 * n) for n in range(250)]
    table = [queue_call(at, queue_name="no start" if n in (9, 247, 248) else "Sales") for n, at in enumerate(starts)]
    site = make_site(Account(KEY, {"queue_calls": table}), settings={"budget.reserve_interactive": "0"})
    site.pbx.add_fault(Fault("rows", times=None, mutate_rows=hundred_some_without_start))
    site.set_setting("budget.requests", "2")
    assert site.run("load", "--endpoint", "queue_calls", "--on-budget", "stop").code == 75
    assert unplaced(site) == {"user_calls": None, "queue_calls": None, "ringgroup_calls": None}
    site.set_setting("budget.requests", "100")
    assert site.load(again=DateRange(None, None)).error is None
    assert unplaced(site) == {"user_calls": 0, "queue_calls": 3, "ringgroup_calls": 0}
    line = "queue_calls: 3 records have no start that can be read: see raw.unplaced_records."
    assert line in site.run("status").out
    site.pbx.faults.clear()
    assert site.load(again=DateRange(None, None)).error is None
    assert unplaced(site) == {"user_calls": 0, "queue_calls": 0, "ringgroup_calls": 0}
    assert "no start" not in site.run("status").out


def hundred_some_without_start(rows: list[Any]) -> list[Any]:
    """The first hundred rows; those of one queue lose their start, and all that told them apart."""
    bare = {"queue_name": "no start", "call_start_at": None}
    return [bare if row.get("queue_name") == "no start" else row for row in rows[:100]]


def unplaced(site: Site) -> dict[str, int | None]:
    """What status says of each list's records without a start."""
    (account,) = orjson.loads(site.run("status", "--json").out)["accounts"]
    return {name: found["unplaced"] for name, found in account["endpoints"].items()}
