"""`calls lost`: who is on the list, in which order, how it is shown, and going down it by click-to-call."""

import os
import re
import shutil
import stat
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import orjson
import pytest

from pipelines.cli.tour import print_tour
from pipelines.sandbox.account import Account
from pipelines.sandbox.responses import Style, WireRow
from pipelines.sandbox.server import SimulatedPBX
from pipelines.warehouse import Target
from tests.cli.test_bad_input import KEY, assert_told
from tests.support import night
from tests.support.models_warehouses import empty_warehouse, statements
from tests.support.site import CALLS, MINE, SECTION, Site, queue_call, ringgroup_call, user_call
from tests.support.terminal import Terminal, terminal

ZONE = "Australia/Sydney"
NOW = datetime.now(UTC).replace(microsecond=0)
AGENT = "201"
SUPPORT, RECEPTION, SALES, ODD = "+61491570156", "+442079460123", "+61491570006", "desk.phone"
CALLED_BACK, TOO_LATE = "+61491570157", "+61491570158"
ASK = "[r]ing, [s]kip, [q]uit"
MakeSite = Callable[..., Site]


def given_up(hours: float, seconds: int, number: str | None, queue: str = "Sales") -> WireRow:
    """A queue call abandoned after `seconds`, so many hours ago."""
    start = NOW - timedelta(hours=hours)
    unanswered = {"call_answered_at": None, "answered_by_user_name": None, "status": "abandoned"}
    end = start + timedelta(seconds=seconds)
    return queue_call(start, call_finished_at=end, callerid=number, queue_name=queue, **unanswered)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The readers' copy of a PBX where four callers are lost, and as many others were reached, late or unknown."""
    folder = tmp_path_factory.mktemp("published")
    back = user_call(NOW - timedelta(hours=9), is_inbound=0, from_number="+61255501001", to_number=CALLED_BACK)
    queues = [
        given_up(1, 10, ODD),
        given_up(2, 65, SALES, "Support"),
        given_up(5, 40, SALES),
        given_up(10, 30, CALLED_BACK),
        given_up(11, 30, "anonymous"),
        given_up(70, 20, SUPPORT, "Support"),
        given_up(80, 20, TOO_LATE),
        queue_call(NOW - timedelta(hours=3), callerid="+61491570159"),
    ]
    group = [ringgroup_call(NOW - timedelta(hours=30), callerid=RECEPTION)]
    account = Account(
        KEY, {"queue_calls": queues, "ringgroup_calls": group, "user_calls": [back]}, style=Style(timezone=ZONE)
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(MINE)}
    with SimulatedPBX(account) as pbx:
        settings = {"BASE_URL": pbx.base_url, "API_KEY": KEY, "TIMEZONE": ZONE}
        environment = kept | {f"{SECTION}{name}": value for name, value in settings.items()}
        environment |= {"CALLS_HOME": str(folder / "state")}
        ran = subprocess.run([CALLS, "run"], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return folder / "published"


@pytest.fixture
def site(make_site: MakeSite, published: Path) -> Site:
    """A PBX that can ring, and the readers' copy without a warehouse beside it."""
    made = make_site(Account(KEY, style=Style(timezone=ZONE)))
    shutil.copytree(published, made.folder / "published", symlinks=True)
    return made


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
    """Whoever was lost and is neither reached, unknown nor past the time is on it once, the first lost on top, with
    the queues, the tries, the longest wait, the local times and the time left; nothing but the copy is read."""
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
        assert 0 <= (72 - hours) * 3600 + 40 - caller["seconds_left"] < 600
    assert (found["left_out"], found["run_out"], found["stale_accounts"]) == (0, 0, [])
    assert not site.warehouse.exists()
    assert not site.pbx.arrivals


def test_how_it_is_shown(site: Site) -> None:
    """The table masks numbers unless it is told otherwise, says how many there are and how fresh that is."""
    shown = site.run("lost")
    assert_told(shown, 0)
    assert shown.err == ""
    rows = [line.split() for line in shown.out.splitlines() if "Support" in line or "Reception" in line]
    assert [row[0] for row in rows] == ["…56", "…23", "…06"]
    assert rows[2][-7:-4] == ["2", "1", "min"]
    assert "4 callers are to be called back." in shown.out
    assert "calls since are not in it" in shown.out
    assert SUPPORT in site.run("lost", "--show-numbers").out
    assert [caller["number"] for caller in orjson.loads(site.run("lost", "--json").out)["callers"]] == [
        "…56",
        "…23",
        "…06",
        "…ne",
    ]


def test_less_of_it(site: Site) -> None:
    """A queue, an account and a limit narrow it; what is left out is counted; a name that is wrong is met with the
    right one."""
    assert [caller["number"] for caller in listed(site, "--queue", "Support")["callers"]] == [SUPPORT, SALES]
    assert [caller["tries"] for caller in listed(site, "--queue", "Support")["callers"]] == [1, 1]
    few = listed(site, "--limit", "1", "--account", "main")
    assert ([caller["number"] for caller in few["callers"]], few["left_out"]) == ([SUPPORT], 3)
    assert "3 of them are not shown: --limit 4" in site.run("lost", "--limit", "1").out
    assert_told(site.run("lost", "--queue", "Saless"), 2, "no queue 'Saless'; did you mean 'Sales'?")
    assert_told(site.run("lost", "--account", "mian"), 2, "no account 'mian'; did you mean 'main'?")


def test_an_old_list(site: Site) -> None:
    """A list older than a day says so, and leaves out, and counts, those whose time has run out since."""
    age_by(site, 30)
    found = listed(site)
    assert [caller["number"] for caller in found["callers"]] == [RECEPTION, SALES, ODD]
    assert (found["run_out"], found["stale_accounts"]) == (1, ["main"])
    shown = site.run("lost")
    assert_told(shown, 0, "main: the list was loaded 30 h ago", "calls run")
    assert "1 lost calls the time ran out" in shown.out
    age_by(site, 72)
    assert "Nobody is waiting to be called back." in site.run("lost").out


def test_nothing_published(site: Site) -> None:
    """Where there is no copy, or it is none, it ends with 1 and says what to do."""
    copy = site.folder / "published" / "calls.duckdb"
    with duckdb.connect(str(copy)) as marts:
        marts.execute("alter table marts.lost_calls drop column wait_seconds")
    assert_told(site.run("lost"), 1, "another version's", "calls build")
    copy.write_text("no database")
    assert_told(site.run("lost"), 1, "cannot be opened", "calls publish")
    copy.unlink()
    assert_told(site.run("lost"), 1, "Nothing has been published yet", "calls run")


def test_on_postgres(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The schema `marts` of a Postgres gives the same list; before anything is published there it ends with 1."""
    with empty_warehouse("postgres", tmp_path) as warehouse:
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
    """The demo ends with where things are, the report if there is one, and the command that lists whom to call back,
    which works as it stands there."""
    target, report = Target("duckdb", str(site.warehouse)), site.folder / "published" / "report.html"
    print_tour(target)
    told = capsys.readouterr().out
    assert f"The report, for a browser: {report}" in told
    assert str(site.warehouse) in told
    assert str(site.folder / "published" / "calls.duckdb") in told
    setting, command = re.findall(r"^  (DESTINATION\S+) \.venv/bin/calls (.*)$", told, re.MULTILINE)[0]
    ran = night.run(site, *command.split(), **dict([setting.split("=")]))
    assert "4 callers are to be called back." in ran.out
    report.unlink()
    print_tour(target)
    assert "report.html" not in capsys.readouterr().out


def dial(site: Site, *arguments: str) -> Any:
    """`calls lost --dial` on a terminal."""
    return terminal(site.folder, "lost", "--dial", AGENT, *arguments)


def go_down(screen: Terminal, *typed: str) -> None:
    """Answers the question at each caller."""
    for answer in typed:
        screen.answer(ASK, answer)


def test_going_down_the_list(site: Site) -> None:
    """Each caller is asked for, whatever else is typed is asked again, who is rung is rung once, a number that cannot
    be dialled is skipped with a word, and the end says how many there were; numbers stay masked."""
    with dial(site) as screen:
        assert "Somebody may have called them back since" in screen.answer(ASK, "ring")
        screen.see("it is ringing")
        assert "2 of 4: …23, Reception: called once" in screen.answer(ASK, "")
        assert not screen.answer(ASK, "s").count("3 of 4")
        assert "3 of 4: …06, Sales, Support: called 2 times" in screen.answer(ASK, "r")
        go_down(screen, "r")
        screen.see("Skipped: NUMBER cannot be dialled")
        screen.see("Rung 2, skipped 2, 0 left on the list.")
        assert screen.end() == 0
    assert site.pbx.rings == [("main", AGENT, SUPPORT), ("main", AGENT, SALES)]
    assert len(site.pbx.arrivals) == 2
    assert not any(number in screen.screen for number in (SUPPORT, RECEPTION, SALES))
    assert "Traceback" not in screen.screen


def test_who_was_rung_is_told(site: Site) -> None:
    """Whoever goes down the list again, or in another terminal, sees who was rung from here, until they are off it."""
    with dial(site) as screen:
        assert "rung from here" not in screen.answer(ASK, "r")
        screen.answer(ASK, "q")
        assert screen.end() == 0
    with dial(site) as screen:
        assert "left; rung from here 0 min ago" in " ".join(screen.answer(ASK, "s").split())
        assert "rung from here" not in screen.answer(ASK, "q")
        assert screen.end() == 0
    (note,) = (site.folder / "state" / "rung").iterdir()
    assert SUPPORT[1:] not in note.name
    assert (stat.S_IMODE(note.stat().st_mode), note.stat().st_size) == (0o600, 0)
    os.utime(note, (0, 0))
    with dial(site) as screen:
        assert "rung from here" not in screen.answer(ASK, "q")
        assert screen.end() == 0
    assert not note.exists()


@pytest.mark.parametrize("typed", ["q\n", "\x03", "\x04"])
def test_enough(site: Site, typed: str) -> None:
    """Whoever quits, presses Ctrl-C or closes the input has rung nobody further, and is told what was done."""
    with dial(site) as screen:
        go_down(screen, "s")
        screen.see(ASK)
        time.sleep(0.3)  # until it reads: Python loses a Ctrl-C that comes while it tidies up
        screen.type(typed)
        screen.see("Rung 0, skipped 1, 3 left on the list.")
        assert screen.end() == 0
    assert not site.pbx.arrivals


def test_the_budget_ends(site: Site) -> None:
    """When no request is left it stops with 75, says when the next may go, and rings nobody further."""
    site.set_setting("budget.requests", "1")
    site.set_setting("budget.reserve_interactive", "0")
    with dial(site) as screen:
        go_down(screen, "r", "r")
        screen.see("Rung 1, skipped 0, 3 left on the list.")
        screen.see("The next call may go at ")
        assert screen.end() == 75
    assert [number for _, _, number in site.pbx.rings] == [SUPPORT]


@pytest.mark.parametrize(("go_on", "rings", "told"), [("n", 1, "0, skipped 0, 1 may"), ("y", 2, "1, skipped 2, 1 may")])
def test_a_call_that_may_have_rung(site: Site, go_on: str, rings: int, told: str) -> None:
    """Where an answer is lost the call is not repeated, the next is rung only if somebody says so, and it ends with
    69 in any case."""
    site.pbx.fault("reset")
    with dial(site) as screen:
        go_down(screen, "r")
        screen.see("may have rung")
        screen.answer("Go on with the next caller?", go_on)
        if go_on == "y":
            go_down(screen, "r", "s", "s")
        screen.see(f"Rung {told} have been rung")
        assert screen.end() == 69
    assert [number for _, _, number in site.pbx.rings] == [SUPPORT, RECEPTION][:rings]
    assert len(list((site.folder / "state" / "rung").iterdir())) == rings


def test_what_would_fail_again_ends_it(site: Site) -> None:
    """A key that is refused, or a PBX that is not there, would fail with the next caller too: one request, and why."""
    site.pbx.fault("401", times=None)
    with dial(site) as screen:
        go_down(screen, "r")
        screen.see("Rung 0, skipped 0, 4 left on the list.")
        screen.see("Whitelisted IPs")
        assert screen.end() == 77
    assert len(site.pbx.arrivals) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [((), "needs a terminal"), (("--json",), "does not go with --json")],
)
def test_never_without_a_terminal(site: Site, arguments: tuple[str, ...], words: str) -> None:
    """Where nobody can be asked nothing is rung, and that is a wrong use of the command."""
    assert_told(site.run("lost", "--dial", AGENT, *arguments), 2, words)
    assert not site.pbx.arrivals


def test_whose_callers(make_site: MakeSite, published: Path) -> None:
    """A user belongs to one PBX, so where several are set up it has to be said whose callers are rung."""
    site = make_site(Account(KEY, name="main"), Account("other", name="south"))
    shutil.copytree(published, site.folder / "published", symlinks=True)
    with dial(site) as screen:
        screen.see("say whose callers: --account main")
        assert screen.end() == 2
    with dial(site, "--account", "main", "--limit", "1") as screen:
        go_down(screen, "r")
        assert screen.end() == 0
    assert site.pbx.rings == [("main", AGENT, SUPPORT)]
