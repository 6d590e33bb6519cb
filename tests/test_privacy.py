"""The key is in the header alone, phone numbers are in the warehouse alone, and files are the user's alone."""

import signal
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from pipelines.sandbox.account import Account
from pipelines.sandbox.callcentre import CallCentre, simulate
from pipelines.voipcloud.client import Access
from pipelines.voipcloud.settings import read_accounts
from pipelines.warehouse import Target
from tests.support import night
from tests.support.messages import KEY, NUMBERS
from tests.support.site import Ran, Site

MakeSite = Callable[..., Site]


def made_site(make_site: MakeSite) -> Site:
    """A PBX with a week of a call centre, some of whose records cannot be read."""
    first = datetime.now(UTC).date() - timedelta(days=7)
    site = make_site(Account(KEY, simulate(CallCentre(first_day=first, days=7, calls_per_day=60))))
    site.pbx.fault("lists", every=25, times=None)
    return site


def assert_private(site: Site, *ran: Ran) -> None:
    """No output and no file but the warehouse holds the key or a number, and nobody else can read any of them."""
    for one in ran:
        said = (one.out + one.err).encode()
        assert KEY.encode() not in said
        assert not NUMBERS.search(said), NUMBERS.search(said)
    for path in (path for path in site.folder.rglob("*") if not path.is_relative_to(site.folder / "said")):
        mode = stat.S_IMODE(path.lstat().st_mode)
        if path.is_dir():
            assert path.is_relative_to(site.folder / "published") or not mode & 0o077, path
        elif path.is_file():
            assert not mode & 0o077, f"{path} {mode:o}"
            held = path.read_bytes()
            assert KEY.encode() not in held, path
            assert ".duckdb" in path.name or not NUMBERS.search(held), path


def test_loads_and_looks(make_site: MakeSite) -> None:
    """Good and failing loads, status, budget, doctor and dial leave nothing behind."""
    site = made_site(make_site)
    ran = [site.run("load"), site.run("status"), site.run("budget"), site.run("doctor"), site.run("system-status")]
    assert [one.code for one in ran] == [0] * 5
    site.pbx.fault("500", times=None, endpoint="queue_calls")
    failing = [site.run("load"), site.run("dial", "201", "+61491570006", "--yes"), site.run("load", "--json")]
    site.pbx.faults.clear()
    site.pbx.fault("401", times=None)
    failing += [site.run("load"), site.run("dial", "201", "+61491570006", "--yes"), site.run("system-status")]
    assert all(one.code for one in failing if one is not failing[1])
    assert_private(site, *ran, *failing)


def test_a_killed_load(make_site: MakeSite) -> None:
    """What a killed load leaves is the user's alone, and gone after the next one."""
    site = made_site(make_site)
    killed = night.run(site, "load", before=night.die_at(r"sql .*INSERT INTO"))
    assert killed.code == -signal.SIGKILL
    for path in site.folder.rglob("*"):
        if path.is_file() and not path.is_relative_to(site.folder / "said"):
            assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path
    assert_private(site, killed, night.run(site, "load"))


def test_it_talks_to_the_pbx_alone(make_site: MakeSite) -> None:
    """A load connects to the PBX and to no other address: no telemetry, no update check."""
    site = made_site(make_site)
    log = night.Log(site.folder / "steps")
    assert night.run(site, "load", before=log).code == 0
    port = site.pbx.base_url.rsplit(":", 1)[1]
    connects = {step for step in log.steps() if step.startswith("connect")}
    assert connects == {f"connect ('127.0.0.1', {port})"}


def test_the_key_is_never_shown(make_site: MakeSite) -> None:
    """Neither settings nor targets show secrets when printed, and the key travels in the header alone."""
    site = made_site(make_site)
    assert KEY not in repr(read_accounts())
    assert KEY not in repr(Access("main", "https://pbx.example", KEY))
    assert "word" not in repr(Target("postgres", "postgresql://me:word@db.example/calls"))
    assert site.load().error is None
    assert all("api_key" not in a.parameters and KEY not in str(a.parameters) for a in site.pbx.arrivals)
