"""The command line: help, JSON, exit codes, and what it writes with and without a terminal."""

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from pipelines.cli.main import cli
from pipelines.sandbox.account import Account
from tests.support import night
from tests.support.messages import KEY, assert_told
from tests.support.site import CALLS, Site, assert_truth, user_call

MakeSite = Callable[..., Site]
CALLS_OF_A_DAY = [user_call(datetime(2026, 3, 2, 12, tzinfo=UTC) - timedelta(minutes=n)) for n in range(30)]
ENDPOINT_KEYS = {
    "first_day",
    "last_day",
    "settled_until",
    "gaps",
    "calls",
    "rejected",
    "unplaced",
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
    "unplaced",
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
    """The one document that a command writes to standard output, with nothing else there."""
    ran = site.run(*arguments, "--json")
    assert orjson.loads(ran.out) is not None
    assert "{" not in ran.err
    return orjson.loads(ran.out)


@pytest.mark.parametrize("command", [None, *cli.commands])
def test_help(site: Site, command: str | None) -> None:
    """`--help` and `-h` explain each command and all its options, and do nothing else."""
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
    """JSON keeps its keys: a load, its status, the budget, the system status, and a load that fails."""
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


def test_two_lists_that_cannot_be_read(make_site: MakeSite) -> None:
    """Both are reported, whichever the run ends with, and whatever else ends it."""
    site = make_site(Account("key", {"user_calls": CALLS_OF_A_DAY}))
    site.pbx.fault("data_null", times=None, endpoint="user_calls")
    site.pbx.fault("400", times=None, endpoint="queue_calls")
    assert_told(site.run("load"), 65, "get-user-calls", "get-queue-calls")
    site.set_setting("budget.requests", "11")
    assert_told(site.run("load", "--on-budget", "stop"), 75, "sent null where a list")


def test_the_gravest_code(make_site: MakeSite) -> None:
    """One account's failure does not stop the next; each is reported, and the gravest code is the exit code."""
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


def test_without_a_terminal(site: Site) -> None:
    """Without a terminal it writes plain lines: results to standard output, progress to standard error, no colours and
    no bars. With `--json`, `status` writes nothing to standard error."""
    site.pbx.fault("429", retry_after=8, endpoint="user_calls")
    ran = night.run(site, "load")
    assert ran.code == 0
    assert "\x1b" not in ran.out + ran.err
    assert "main: complete" in ran.out
    assert [line.split(";")[0] for line in ran.err.splitlines() if "budget" in line] == ["main: the budget is spent"]
    assert sum("calls read" in line for line in ran.err.splitlines()) == 3
    assert site.run("status", "--json").err == ""


def test_on_a_terminal(site: Site) -> None:
    """On a terminal it draws bars, a countdown while it waits for the budget, and the result at the end."""
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
        except OSError:  # the other end is closed
            break
    os.close(ours)
    assert load.wait(60) == 0
    text = shown.decode()
    assert "\x1b[" in text
    assert "next request in" in text
    assert "main: complete" in text
    assert "Traceback" not in text


def test_a_reader_that_leaves(site: Site) -> None:
    """A reader that closes the pipe, as `calls status | head -0` does, causes no traceback."""
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
