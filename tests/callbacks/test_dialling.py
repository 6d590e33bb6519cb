"""`calls lost --dial`: going down the list by click-to-call, on a terminal."""

import os
import shutil
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from pipelines.sandbox.account import Account
from tests.support.lost_callers import RECEPTION, SALES, SUPPORT, MakeSite, published, site
from tests.support.messages import KEY, assert_told
from tests.support.site import Site
from tests.support.terminal import Terminal, terminal

__all__ = ["published", "site"]  # fixtures

AGENT = "201"
ASK = "[r]ing, [s]kip, [q]uit"


def dial(site: Site, *arguments: str) -> Any:
    """`calls lost --dial` on a terminal."""
    return terminal(site.folder, "lost", "--dial", AGENT, *arguments)


def go_down(screen: Terminal, *typed: str) -> None:
    """Answers the question at each caller."""
    for answer in typed:
        screen.answer(ASK, answer)


def test_going_down_the_list(site: Site) -> None:
    """It asks about each caller, and again after any other answer. Each call is sent once, a number that cannot be
    dialled is skipped with a message, the end counts the callers, and numbers stay masked."""
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


def test_who_was_rung_is_shown(site: Site) -> None:
    """Going down the list again, or in another terminal, shows who was rung from here, until they leave the list."""
    with dial(site) as screen:
        assert "rung from here" not in screen.answer(ASK, "r")
        screen.answer(ASK, "q")
        assert screen.end() == 0
    with dial(site) as screen:
        assert "left; rung from here a few seconds ago" in " ".join(screen.answer(ASK, "s").split())
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
    """Quitting, Ctrl-C and a closed input ring nobody else, and the end says what was done."""
    with dial(site) as screen:
        go_down(screen, "s")
        screen.see(ASK)
        time.sleep(0.3)  # until it reads: Python loses a Ctrl-C that comes during a clean-up
        screen.type(typed)
        screen.see("Rung 0, skipped 1, 3 left on the list.")
        assert screen.end() == 0
    assert not site.pbx.arrivals


def test_the_budget_ends(site: Site) -> None:
    """When no request is left it stops with 75, says when the next may go, and rings nobody else."""
    site.set_setting("budget.requests", "1")
    site.set_setting("budget.reserve_interactive", "0")
    with dial(site) as screen:
        go_down(screen, "r", "r")
        screen.see("Rung 1, skipped 0, 3 left on the list.")
        screen.see("The next call may go in 1")  # 15 minutes, or a second less
        assert screen.end() == 75
    assert [number for _, _, number in site.pbx.rings] == [SUPPORT]


@pytest.mark.parametrize(
    ("go_on", "rings", "counts"), [("n", 1, "0, skipped 0, 1 may"), ("y", 2, "1, skipped 2, 1 may")]
)
def test_a_call_that_may_have_rung(site: Site, go_on: str, rings: int, counts: str) -> None:
    """A call whose answer is lost is not repeated, the next caller is rung only after a yes, and the code is 69 in
    any case."""
    site.pbx.fault("reset")
    with dial(site) as screen:
        go_down(screen, "r")
        screen.see("may have rung")
        screen.answer("Go on with the next caller?", go_on)
        if go_on == "y":
            go_down(screen, "r", "s", "s")
        screen.see(f"Rung {counts} have been rung")
        assert screen.end() == 69
    assert [number for _, _, number in site.pbx.rings] == [SUPPORT, RECEPTION][:rings]
    assert len(list((site.folder / "state" / "rung").iterdir())) == rings


def test_what_would_fail_again_ends_it(site: Site) -> None:
    """A refused key would be refused for the next caller too, so the round ends after one request, with the reason."""
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
    """Without a terminal nobody can be asked, so nothing rings and the code is that of a wrong usage."""
    assert_told(site.run("lost", "--dial", AGENT, *arguments), 2, words)
    assert not site.pbx.arrivals


def test_whose_callers(make_site: MakeSite, published: Path) -> None:
    """A user belongs to one PBX, so if several are set up, `--account` has to choose one."""
    site = make_site(Account(KEY, name="main"), Account("other", name="south"))
    shutil.copytree(published, site.folder / "published", symlinks=True)
    with dial(site) as screen:
        screen.see("Choose whose callers to ring: --account main")
        assert screen.end() == 2
    with dial(site, "--account", "main", "--limit", "1") as screen:
        go_down(screen, "r")
        assert screen.end() == 0
    assert site.pbx.rings == [("main", AGENT, SUPPORT)]
