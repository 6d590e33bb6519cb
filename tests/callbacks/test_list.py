"""`calls lost`: who is on the list, in which order, and how it is shown."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import orjson
import pytest

from pipelines.cli.tour import print_tour
from pipelines.warehouse import Target
from tests.support import night
from tests.support.lost_callers import NOW, ODD, RECEPTION, SALES, SUPPORT, ZONE, published, site
from tests.support.messages import assert_told
from tests.support.models_warehouses import Warehouse, statements
from tests.support.postgres_server import serve_postgres
from tests.support.site import Site

__all__ = ["published", "site"]  # fixtures


def listed(site: Site, *arguments: str) -> Any:
    """The list as JSON."""
    ran = site.run("lost", "--json", "--show-numbers", *arguments)
    assert ran.code == 0, ran.err
    return orjson.loads(ran.out)


def age_by(site: Site, hours: float) -> None:
    """Makes the copy what it would be had it been published so many hours ago."""
    with duckdb.connect(str(site.folder / "published" / "calls.duckdb")) as copy:
        for mart, column in (("load_health", "last_load_at"), ("lost_calls", "lost_at"), ("lost_calls", "entered_at")):
            copy.execute(f"update marts.{mart} set {column} = {column} - interval '{hours} hours'")  # noqa: S608


def test_who_is_on_the_list(site: Site) -> None:
    """Each lost caller who can still be called back is on the list once, the first lost on top, with queues, tries,
    longest wait, local times and time left. Only the readers' copy is read."""
    found = listed(site)
    callers = found["callers"]
    assert [caller["number"] for caller in callers] == [SUPPORT, RECEPTION, SALES, ODD]
    assert [caller["queues"] for caller in callers] == [["Support"], ["Reception"], ["Sales", "Support"], ["Sales"]]
    assert [caller["tries"] for caller in callers] == [1, 1, 2, 1]
    assert [caller["waited_seconds"] for caller in callers] == [20, 20, 65, 10]
    local = NOW.astimezone(ZoneInfo(ZONE)).replace(tzinfo=None)
    for caller, hours, last in zip(callers, (70, 30, 5, 1), (70, 30, 2, 1), strict=True):
        assert datetime.fromisoformat(caller["first_at"]) == NOW - timedelta(hours=hours)
        shift = abs(datetime.fromisoformat(caller["first_local"]) - (local - timedelta(hours=hours)))
        assert shift in (timedelta(), timedelta(hours=1))  # the clocks may have changed between
        assert datetime.fromisoformat(caller["last_at"]) == NOW - timedelta(hours=last)
        elapsed = (datetime.now(UTC) - NOW).total_seconds()  # since the calls were made up
        assert 0 <= (72 - hours) * 3600 + 40 - caller["seconds_left"] < 60 + elapsed
    assert (found["left_out"], found["run_out"], found["stale_accounts"]) == (0, 0, [])
    assert not site.warehouse.exists()
    assert not site.pbx.arrivals


def test_how_it_is_shown(site: Site) -> None:
    """The table masks numbers unless `--show-numbers` is given, counts the callers and says how fresh it is."""
    shown = site.run("lost")
    assert_told(shown, 0)
    assert shown.err == ""
    rows = [line.split() for line in shown.out.splitlines() if "Support" in line or "Reception" in line]
    assert [row[0] for row in rows] == ["…56", "…23", "…06"]
    assert " ".join(rows[2][-9:-4]) == "2 1 minute 5 seconds"
    assert "4 callers are waiting to be called back." in shown.out
    assert "later calls are not in it" in shown.out
    assert SUPPORT in site.run("lost", "--show-numbers").out
    assert [caller["number"] for caller in orjson.loads(site.run("lost", "--json").out)["callers"]] == [
        "…56",
        "…23",
        "…06",
        "…ne",
    ]


def test_less_of_it(site: Site) -> None:
    """A queue, an account and a limit narrow the list, and what a limit cuts off is counted. A wrong name gets the
    right one suggested."""
    assert [caller["number"] for caller in listed(site, "--queue", "Support")["callers"]] == [SUPPORT, SALES]
    assert [caller["tries"] for caller in listed(site, "--queue", "Support")["callers"]] == [1, 1]
    few = listed(site, "--limit", "1", "--account", "main")
    assert ([caller["number"] for caller in few["callers"]], few["left_out"]) == ([SUPPORT], 3)
    assert "3 of them are not shown: --limit 4" in site.run("lost", "--limit", "1").out
    assert_told(site.run("lost", "--queue", "Saless"), 2, "no queue 'Saless'; did you mean 'Sales'?")
    assert_told(site.run("lost", "--account", "mian"), 2, "no account 'mian'; did you mean 'main'?")


def test_an_old_list(site: Site) -> None:
    """A list older than a day says so. It leaves out and counts the calls whose time has run out since the load."""
    age_by(site, 30)
    found = listed(site)
    assert [caller["number"] for caller in found["callers"]] == [RECEPTION, SALES, ODD]
    assert (found["run_out"], found["stale_accounts"]) == (1, ["main"])
    shown = site.run("lost")
    assert_told(shown, 0, "main: the list was loaded 1 day ago", "calls run")
    assert "1 lost call ran out of time since the load" in shown.out
    age_by(site, 72)
    assert "Nobody is waiting to be called back." in site.run("lost").out


def test_nothing_published(site: Site) -> None:
    """Without a copy, or with one that cannot be read, it ends with 1 and says what to do."""
    copy = site.folder / "published" / "calls.duckdb"
    with duckdb.connect(str(copy)) as marts:
        marts.execute("alter table marts.lost_calls drop column wait_seconds")
    assert_told(site.run("lost"), 1, "another version", "calls build")
    copy.write_text("no database")
    assert_told(site.run("lost"), 1, "cannot be opened", "calls publish")
    copy.unlink()
    assert_told(site.run("lost"), 1, "Nothing has been published yet", "calls run")


def test_on_postgres(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The schema `marts` in Postgres gives the same list; before anything is published there, it ends with 1."""
    with serve_postgres() as address:
        warehouse = Warehouse("postgres", address)
        monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", warehouse.credentials)
        assert_told(site.run("lost", "--destination", "postgres"), 1, "Nothing has been published yet")
        with duckdb.connect(str(site.folder / "published" / "calls.duckdb")) as copy, statements(warehouse) as execute:
            execute("create schema marts")
            for mart in ("lost_calls", "load_health", "queue_days"):
                columns = copy.sql(f"describe marts.{mart}").fetchall()
                types = {name: kind.replace("DOUBLE", "double precision") for name, kind, *_ in columns}
                execute(f"create table marts.{mart} ({', '.join(f'{name} {kind}' for name, kind in types.items())})")
                for row in copy.sql(f"from marts.{mart}").fetchall():
                    values = ", ".join("null" if value is None else f"'{value}'" for value in row)
                    execute(f"insert into marts.{mart} values ({values})")  # noqa: S608
        for arguments in ((), ("--queue", "Support"), ("--limit", "2")):
            found, expected = listed(site, *arguments, "--destination", "postgres"), listed(site, *arguments)
            assert all(caller.pop("seconds_left") > 0 for caller in found["callers"] + expected["callers"])
            assert found == expected
    assert_told(site.run("lost", "--destination", "postgres"), 78, "cannot be reached")


def test_the_demos_end(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """The demo ends by saying where things are, with the report if there is one. The command that it prints for the
    list of callers works as printed."""
    target, report = Target("duckdb", str(site.warehouse)), site.folder / "published" / "report.html"
    print_tour(target)
    shown = capsys.readouterr().out
    assert f"The report, for a browser: {report}" in shown
    assert str(site.warehouse) in shown
    assert str(site.folder / "published" / "calls.duckdb") in shown
    setting, command = re.findall(r"^  (DESTINATION\S+) \.venv/bin/calls (.*)$", shown, re.MULTILINE)[0]
    ran = night.run(site, *command.split(), **dict([setting.split("=")]))
    assert "4 callers are waiting to be called back." in ran.out
    report.unlink()
    print_tour(target)
    assert "report.html" not in capsys.readouterr().out
