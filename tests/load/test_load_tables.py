"""What a load writes beside the calls: which days are there and how sure, the account, what the operator said."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import orjson
import pytest

from pipelines.sandbox.account import Account
from tests.support.site import Site, assert_truth, queue_call, user_call

MakeSite = Callable[..., Site]
NOON = datetime(2026, 6, 10, 12, tzinfo=UTC)


def days_of(site: Site, endpoint: str) -> dict[str, tuple[int, int, bool]]:
    """`raw.loaded_days` of an endpoint: calls, unfinished and whether settled, by day."""
    return {
        str(row["call_day"]): (row["calls_count"], row["unfinished_count"], row["is_settled"])
        for row in sorted(site.raw()["loaded_days"], key=lambda row: row["call_day"])
        if row["endpoint"] == endpoint
    }


def test_loaded_days(make_site: MakeSite) -> None:
    """Every day from the first call to today has its row, those without calls too, and is settled a day after it ended
    everywhere: unless a call goes on, and for a week at most; before the first call there is nothing to tell."""
    rows = [queue_call(NOON - timedelta(days=days)) for days in (5, 5, 3)]
    users = [user_call(NOON - timedelta(days=4)), user_call(NOON - timedelta(days=3), 30 * 86_400)]
    now = [NOON]
    site = make_site(Account("key", {"queue_calls": rows, "user_calls": users}), clock=lambda: now[0])
    assert site.load(clock=now[0].timestamp).error is None
    assert days_of(site, "queue_calls") == {
        "2026-06-05": (2, 0, True),
        "2026-06-06": (0, 0, True),
        "2026-06-07": (1, 0, True),
        "2026-06-08": (0, 0, True),  # ended everywhere at noon of the 9th: 24 hours ago
        "2026-06-09": (0, 0, False),
        "2026-06-10": (0, 0, False),
    }
    assert days_of(site, "user_calls") == {
        "2026-06-06": (1, 0, True),
        "2026-06-07": (1, 1, False),
        "2026-06-08": (0, 0, True),
        "2026-06-09": (0, 0, False),
        "2026-06-10": (0, 0, False),
    }
    assert days_of(site, "ringgroup_calls") == {}

    now[0] += timedelta(days=5)
    assert site.load(clock=now[0].timestamp).error is None
    assert [settled for _, _, settled in days_of(site, "queue_calls").values()] == [True] * 9 + [False] * 2
    assert days_of(site, "user_calls")["2026-06-07"] == (1, 1, True)
    going_on = [row["call_duration"] for row in site.raw()["user_calls"] if row["call_finished_at"] is None]
    assert going_on == [8 * 86_400]


def test_accounts(make_site: MakeSite) -> None:
    """An account stands in `raw.accounts` once, with the time zone it was last loaded in."""
    site = make_site(Account("key", {"queue_calls": [queue_call(NOON)]}))
    for timezone in ("Australia/Sydney", "Europe/Berlin"):
        site.set_setting("timezone", timezone)
        assert site.load().error is None
        assert [(row["account"], row["timezone"]) for row in site.raw()["accounts"]] == [("main", timezone)]


@pytest.mark.parametrize(
    ("payload", "word", "warns"),
    [
        ({"status": "operational"}, "operational", False),
        ([{"status": "major outage", "since": "noon"}], "major outage", True),
        ("ok", "ok", False),
        ({"services": {"sip": True}}, None, False),
        (None, None, False),
    ],
    ids=str,
)
def test_system_status(make_site: MakeSite, payload: object, word: str | None, warns: bool) -> None:
    """The status is stored as it came, whatever its shape; a bad one is a warning and stops nothing."""
    account = Account("key", {"queue_calls": [queue_call(NOON)]})
    account.system_status = payload
    site = make_site(account)
    loaded = site.load()
    assert loaded.error is None
    assert loaded.system_status == word
    assert ["major outage" in warning for warning in loaded.warnings] == [True] * warns
    told = site.raw()["system_status"]
    assert [(row["status"], orjson.loads(row["payload"])) for row in told] == [(word, payload)]
    assert_truth(site)


def test_system_status_of_every_run(make_site: MakeSite) -> None:
    """Each run asks once and adds what it was told; one that cannot be had is a warning, and the calls are loaded."""
    site = make_site(Account("key", {"queue_calls": [queue_call(NOON)]}))
    for runs in (1, 2):
        assert site.load().error is None
        assert len({row["checked_at"] for row in site.raw()["system_status"]}) == runs
        assert site.asked("system_status") == runs
    site.pbx.fault("404", times=None, endpoint="system_status")
    loaded = site.load()
    assert loaded.error is None
    assert len(loaded.warnings) == 1
    assert len(site.raw()["system_status"]) == 2
    assert_truth(site)


def test_a_warehouse_put_back(make_site: MakeSite) -> None:
    """The warehouse says what is loaded: one put back from a backup, or deleted, is brought to the truth again."""
    now = [NOON]
    rows = [queue_call(NOON + timedelta(hours=7 * n)) for n in range(-20, 20)]
    site = make_site(Account("key", {"queue_calls": rows}), clock=lambda: now[0])
    assert site.load(clock=now[0].timestamp).error is None
    backup = site.warehouse.read_bytes()
    now[0] += timedelta(days=6)
    for content in (None, backup, b""):
        if content is not None:
            site.warehouse.unlink()
        if content:
            site.warehouse.write_bytes(content)
        assert site.load(clock=now[0].timestamp).error is None
        assert_truth(site)
    assert date(2026, 6, 16) in {row["call_day"] for row in site.raw()["queue_calls"]}
