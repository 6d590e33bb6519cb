"""The command line: help, JSON, exit codes, and what is written where nobody watches and where somebody does."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import orjson
import pytest

from pipelines.cli.main import cli
from pipelines.sandbox.account import Account
from tests.cli.test_bad_input import KEY, assert_told
from tests.support import night
from tests.support.site import CALLS, Site, assert_truth, queue_call, user_call

MakeSite = Callable[..., Site]
CALLS_OF_A_DAY = [user_call(datetime(2026, 3, 2, 12, tzinfo=UTC) - timedelta(minutes=n)) for n in range(30)]
ENDPOINT_KEYS = {
    "first_day",
    "last_day",
    "settled_until",
    "gaps",
    "calls",
    "rejected",
    "unfinished",
    "days_offered_less",
    "newest_call_at",
    "loaded_at",
}
BUDGET_KEYS = {
    "account",
    "host",
    "used",
    "left",
    "left_interactive",
    "next_at",
    "blocked_until",
    "in_flight",
    "wait_seconds",
    "requests",
    "window_seconds",
    "reserve_interactive",
}
LOAD_KEYS = {
    "account",
    "rows",
    "days",
    "rejected",
    "requests",
    "packages",
    "waited_seconds",
    "seconds",
    "system_status",
    "warnings",
    "error",
}


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """A PBX with thirty calls."""
    return make_site(Account(KEY, {"user_calls": CALLS_OF_A_DAY}))


def as_json(site: Site, *arguments: str) -> Any:
    """The one document that a command writes to standard output, and nothing beside it."""
    ran = site.run(*arguments, "--json")
    assert orjson.loads(ran.out) is not None
    assert "{" not in ran.err
    return orjson.loads(ran.out)


@pytest.mark.parametrize("command", [None, *cli.commands])
def test_help(site: Site, command: str | None) -> None:
    """Each command explains itself and every option of it, with `--help` and `-h`, and does nothing else."""
    words = [command] if command else []
    long, short = site.run(*words, "--help"), site.run(*words, "-h")
    assert long.code == short.code == 0
    assert long.out == short.out
    assert long.out.startswith("Usage: calls")
    helped = cli.commands[command] if command else cli
    assert not command or f"Examples:\n    {'eval' if command == 'completion' else f'calls {command}'}" in long.out
    for parameter in helped.params:
        for option in (*parameter.opts, *parameter.secondary_opts):
            assert option in long.out or option.upper() in long.out
        assert parameter.param_type_name == "argument" or getattr(parameter, "help", None), parameter.name
    assert not site.pbx.arrivals


def test_json(site: Site) -> None:
    """What machines read keeps its keys: a load, its status, the budget, the NOC's word, and a load that fails."""
    (loaded,) = as_json(site, "load")["loads"]
    assert loaded.keys() == LOAD_KEYS
    assert (loaded["rows"]["user_calls"], loaded["requests"], loaded["error"]) == (30, 3, None)
    (status,) = as_json(site, "status")["accounts"]
    assert status.keys() == {"account", "running", "as_of", "endpoints", "budget"}
    assert status["running"] is None
    assert {name: found.keys() for name, found in status["endpoints"].items()} == dict.fromkeys(
        ("user_calls", "queue_calls", "ringgroup_calls"), ENDPOINT_KEYS
    )
    assert status["endpoints"]["user_calls"]["calls"] == 30
    (budget,) = as_json(site, "budget")["accounts"]
    assert budget.keys() == status["budget"].keys() == BUDGET_KEYS
    assert (budget["used"], budget["left"], budget["left_interactive"], budget["in_flight"]) == (4, 91, 96, 0)
    (noc,) = as_json(site, "system-status")["accounts"]
    assert noc == {"account": "main", "status": "operational", "payload": {"status": "operational"}}
    site.pbx.fault("401", times=None)
    (failed,) = as_json(site, "load")["loads"]
    assert failed["error"].keys() == {"message", "exit_code"}
    assert failed["error"]["exit_code"] == 77


def test_system_status_of_several(make_site: MakeSite) -> None:
    """One account's refusal leaves the others' words to be told; they hold no phone number and nothing that a terminal
    would obey; one nested too deep is an error, and not a traceback."""
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


def test_two_lists_that_cannot_be_read(make_site: MakeSite) -> None:
    """Each of them is told of, whichever the run ends with, and whatever else ends it."""
    site = make_site(Account("key", {"user_calls": CALLS_OF_A_DAY}))
    site.pbx.fault("data_null", times=None, endpoint="user_calls")
    site.pbx.fault("400", times=None, endpoint="queue_calls")
    assert_told(site.run("load"), 65, "get-user-calls", "get-queue-calls")
    site.set_setting("budget.requests", "11")
    assert_told(site.run("load", "--on-budget", "stop"), 75, "sent null where a list")


def test_the_gravest_code(make_site: MakeSite) -> None:
    """One account's failure does not stop the next; the run ends with the gravest code, and a word for each."""
    calls = {"user_calls": CALLS_OF_A_DAY}
    accounts = [Account(name, calls, name=name) for name in ("north", "south", "west")]
    site = make_site(*accounts)
    site.pbx.fault("data_object", times=None, account="north")
    site.pbx.fault("429", times=None, account="west")
    assert_told(site.run("load", "--on-budget", "stop"), 65, "north: the PBX", "(429)")
    assert_truth(site, "south")
    assert_told(site.run("load", "--account", "south", "--account", "west", "--on-budget", "stop"), 75)
    site.pbx.fault("401", times=None, account="south")
    assert_told(site.run("load", "--on-budget", "stop"), 77, "north: the PBX", "south: the PBX", "(429)")


def test_where_nobody_watches(site: Site) -> None:
    """Without a terminal there are plain lines: results on standard output, progress on standard error, no colours, no
    bars, and nothing at all where one command reads another's JSON."""
    site.pbx.fault("429", retry_after=8, endpoint="user_calls")
    ran = night.run(site, "load")
    assert ran.code == 0
    assert "\x1b" not in ran.out + ran.err
    assert "main: complete" in ran.out
    assert [line.split(";")[0] for line in ran.err.splitlines() if "budget" in line] == ["main: the budget is spent"]
    assert sum("calls read" in line for line in ran.err.splitlines()) == 3
    assert site.run("status", "--json").err == ""


def test_where_somebody_watches(site: Site) -> None:
    """On a terminal there are bars and a countdown while the budget is waited for, and the result at the end."""
    site.pbx.fault("429", retry_after=8, endpoint="user_calls")
    ours, theirs = pty.openpty()
    load = subprocess.Popen(
        [CALLS, "load"], cwd=site.folder, stdin=theirs, stdout=theirs, stderr=theirs, env=os.environ | {"TERM": "xterm"}
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 65_536)
        except OSError:  # the other end has closed
            break
    os.close(ours)
    assert load.wait(60) == 0
    text = shown.decode()
    assert "\x1b[" in text
    assert "next request in" in text
    assert "main: complete" in text
    assert "Traceback" not in text


def test_a_reader_that_leaves(site: Site) -> None:
    """Where `calls status | head -0` closes the pipe, no traceback follows."""
    assert site.load().error is None
    read, write = os.pipe()
    os.close(read)
    status = subprocess.run([CALLS, "status"], cwd=site.folder, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert status.stderr == b""


def test_as_a_module(site: Site) -> None:
    """`python -m pipelines` is the same command."""
    command = [sys.executable, "-m", "pipelines", "--version"]
    ran = subprocess.run(command, cwd=site.folder, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "calls, version 0.1.0\n", "")


def test_doctor(site: Site) -> None:
    """The doctor looks at each thing by itself, for one request, and ends with the gravest code and a remedy each."""
    well = site.run("doctor")
    assert well.code == 0
    found = [re.match(r"(?:ok|note) +(?:main: )?([^:]+): ", line) for line in well.out.splitlines()]
    assert [line and line[1] for line in found] == [
        "settings",
        "time zone",
        "budget",
        "host",
        "certificate",
        "own address",
        "API",
        "key and address",
        "clock",
        "warehouse",
        "room",
        "published copy",
    ]
    assert len(site.pbx.arrivals) == 1
    site.pbx.accounts["main"].whitelisted = False
    with duckdb.connect(str(site.warehouse)):
        ill = night.run(site, "doctor")
    assert ill.code == 77
    failed = [line for line in ill.out.splitlines() if line.startswith("FAIL")]
    assert len(failed) == 2
    assert "Whitelisted IPs" in failed[0]
    assert "published/calls.duckdb" in failed[1]
    assert len(site.pbx.arrivals) == 2


def test_status_of_what_is_wrong(site: Site) -> None:
    """Status tells of records that could not be read, of calls that had not ended, and of days that were kept."""
    now = datetime.now(UTC).replace(microsecond=0)
    site.pbx.insert("queue_calls", *[queue_call(now - timedelta(hours=n), call_finished_at=None) for n in (3, 2, 1)])
    site.pbx.insert("queue_calls", queue_call(now - timedelta(minutes=5), status=[1]))
    assert site.run("load").code == 0
    site.pbx.remove("queue_calls", 1)
    assert site.run("load").code == 0
    told = site.run("status").out
    assert "1 records could not be read: see raw.rejected_records" in told
    assert "had not ended when they were read" in told
    assert "was left as it is, because the PBX offered only" in told
