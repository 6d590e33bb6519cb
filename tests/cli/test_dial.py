"""Click-to-call: asks first, sends once, never repeats, and shows no number."""

import io
import signal
import sys
import time
from collections.abc import Callable

import pytest

from pipelines.phone_numbers import mask_numbers
from pipelines.sandbox.account import Account
from pipelines.voipcloud.settings import read_accounts
from tests.support import night
from tests.support.messages import KEY, assert_told
from tests.support.site import Site

USER, NUMBER = "+61255501234", "+61491570156"
MakeSite = Callable[..., Site]


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """A PBX that can ring."""
    return make_site(Account(KEY), settings={"timeout_seconds": "20"})


def test_numbers_as_people_write_them(site: Site) -> None:
    """Spaces, dots, dashes and brackets are removed; an extension, a star and a plus are accepted."""
    for user, number in (("+61 2 5550-1234", "(0491) 570.156"), ("201", "*98#")):
        assert_told(site.run("dial", user, number, "--yes"), 0)
    assert site.pbx.rings == [("main", "+61255501234", "0491570156"), ("main", "201", "*98#")]


@pytest.mark.parametrize(("typed", "code", "rings"), [("y\n", 0, 1), ("n\n", 1, 0), ("\n", 1, 0), ("", 1, 0)])
def test_it_asks_first(site: Site, monkeypatch: pytest.MonkeyPatch, typed: str, code: int, rings: int) -> None:
    """Only a yes rings; any other answer, or none, sends nothing. The question shows two digits of a number."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    ran = site.run("dial", USER, NUMBER)
    assert_told(ran, code)
    assert "Ring …34, then …56?" in ran.out + ran.err
    assert len(site.pbx.rings) == len(site.pbx.arrivals) == rings


@pytest.mark.parametrize(
    "kind", ["500", "502", "503", "504", "code", "html", "bad_json", "empty", "string", "truncated", "reset", "hang"]
)
def test_it_is_never_repeated(site: Site, kind: str) -> None:
    """If the answer is lost or unreadable, the phones may have rung: one request, code 69, and a warning."""
    site.set_setting("timeout_seconds", "0.5" if kind == "hang" else "20")
    site.pbx.fault(kind, times=None, seconds=1)
    assert_told(site.run("dial", USER, NUMBER, "--yes"), 69, "may have rung", "not repeated")
    assert len(site.pbx.arrivals) == len(site.pbx.rings) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("dial", "201", "--61491570156"),
        ("dial", "201", "--+61 491 570 156"),
        ("dial", "--account=main", "+61491570156"),
        ("dial", "201", "+61491570156", "0491570156"),
        ("+61491570156",),
        ("lost", "--queue", "x", "0491 570 156"),
        ("load", "--from", "0491570156"),
        ("load", "--endpoint", "(0491) 570-156"),
    ],
)
def test_a_slip_shows_no_number(site: Site, arguments: tuple[str, ...]) -> None:
    """A number in the wrong place is refused, and the message does not show it."""
    ran = site.run(*arguments)
    assert_told(ran, 2)
    assert "570" not in ran.err + ran.out
    assert site.pbx.arrivals == []


def test_a_slip_shows_dates() -> None:
    """Dates and short numbers stay readable in a message."""
    assert mask_numbers("'2026-13-40' is no day, 2026-13-4012345 and 12345") == "'2026-13-40' is no day, …45 and 12345"


@pytest.mark.parametrize(("kind", "code"), [("400", 78), ("401", 77), ("404", 78), ("429", 75)])
def test_a_refusal_rang_nobody(site: Site, kind: str, code: int) -> None:
    """If the PBX refuses, nothing rang, and the message does not say that it may have."""
    site.pbx.fault(kind, times=None)
    ran = site.run("dial", USER, NUMBER, "--yes")
    assert_told(ran, code)
    assert "may have rung" not in ran.err
    assert len(site.pbx.arrivals) == 1
    assert not site.pbx.rings


def test_no_licence(site: Site) -> None:
    """Without a licence for click-to-call, the message says so, and whom to ask."""
    site.pbx.accounts["main"].licensed = False
    assert_told(site.run("dial", USER, NUMBER, "--yes"), 77, "licence", "support")


def test_nobody_there(site: Site) -> None:
    """Without a connection nothing rang, and the message says so."""
    site.set_setting("base_url", "http://127.0.0.1:9")
    assert_told(site.run("dial", USER, NUMBER, "--yes"), 69, "nothing rang")


def test_given_up_while_it_rings(site: Site) -> None:
    """Ctrl-C before the PBX has answered ends with the message that the phones may have rung."""
    site.pbx.fault("hang", seconds=30)
    dialling = night.start(site, "dial", USER, NUMBER, "--yes")
    end = time.monotonic() + 30
    while not site.pbx.rings:
        assert time.monotonic() < end
        time.sleep(0.02)
    time.sleep(0.2)
    dialling.kill(signal.SIGINT)
    assert_told(dialling.end(), 69, "may have rung")


def test_slots_are_kept_for_dialling(site: Site) -> None:
    """Loads leave the slots kept for click-to-call; when those are spent too, nothing is sent."""
    site.set_setting("budget.requests", "3")
    site.set_setting("budget.reserve_interactive", "2")
    (account,) = read_accounts()
    with account.open_budget().slot():
        pass
    assert_told(site.run("load", "--on-budget", "stop"), 75, "kept for click-to-call")
    assert [site.run("dial", USER, NUMBER, "--yes").code for _ in range(3)] == [0, 0, 75]
    assert len(site.pbx.rings) == len(site.pbx.arrivals) == 2


def test_which_pbx(make_site: MakeSite) -> None:
    """If several PBXs are set up, `--account` has to choose one."""
    site = make_site(Account(KEY, name="north"), Account("other", name="south"))
    assert_told(site.run("dial", USER, NUMBER, "--yes"), 2, "--account north")
    assert_told(site.run("dial", USER, NUMBER, "--yes", "--account", "south"), 0)
    assert site.pbx.rings == [("south", USER, NUMBER)]
