"""The Dagster assets, loaded and run by Dagster itself, in `.venv-dagster`, against the simulated PBX over HTTP."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.support.readme import ROOT
from tests.support.schedulers import DEPLOY, assert_loaded, assert_no_secrets, edited, run_in, small_pbx
from tests.support.site import Ran, Site

pytestmark = pytest.mark.deploy
MakeSite = Callable[..., Site]
NIGHT = str(ROOT / "tests" / "support" / "dagster_night.py")
ASSETS = DEPLOY / "dagster_assets.py"
LISTS = ("user_calls", "queue_calls", "ringgroup_calls", "accounts", "system_status")
# Loads the assets; prints each look at the network and each database opened meanwhile, and the assets.
IMPORTED = """
import json, sys
seen = []
watched = ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname", "sqlite3.connect")
sys.addaudithook(lambda event, _: seen.append(event) if event in watched else None)
from pipelines.deploy.dagster_assets import defs
print(json.dumps([seen, ["/".join(key.path) for key in defs.resolve_all_asset_keys()]]))
"""


def dagster(site: Site, command: str, *arguments: str) -> Ran:
    """A command of Dagster's environment, with its records in `site.folder / "dagster"` and its telemetry off."""
    home = site.folder / "dagster"
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    variables = {"DAGSTER_HOME": str(home), "DAGSTER_DISABLE_TELEMETRY": "1"}
    return run_in("dagster", command, *arguments, folder=site.folder, variables=variables)


def materialize(site: Site, asset: str) -> Ran:
    """One asset by Dagster's command line."""
    return dagster(
        site, "dagster", "asset", "materialize", "-m", "pipelines.deploy.dagster_assets", "--select", f'key:"{asset}"'
    )


def run_night(site: Site, assets: Path = ASSETS) -> tuple[dict[str, Any], Ran]:
    """The night's job: what came of it, see `tests/support/dagster_night.py`, and all that was printed."""
    ran = dagster(site, "python", NIGHT, "night", str(assets))
    assert ran.code == 0, ran.err
    return json.loads(ran.out.splitlines()[-1]), ran


def read_events(site: Site) -> dict[str, Any]:
    """What Dagster has recorded."""
    ran = dagster(site, "python", NIGHT, "events", str(ASSETS))
    assert ran.code == 0, ran.err
    events: dict[str, Any] = json.loads(ran.out)
    return events


def test_importing_the_assets_opens_nothing(make_site: MakeSite) -> None:
    """Without any setting the assets are there, and neither a socket nor a database was opened."""
    site = make_site()
    ran = dagster(site, "python", "-c", IMPORTED)
    assert ran.code == 0, ran.err
    seen, keys = json.loads(ran.out)
    assert seen == []
    assert set(keys) == {"calls/marts", *(f"calls/main/{name}" for name in LISTS)}
    assert not site.warehouse.exists()


def test_two_nights(make_site: MakeSite) -> None:
    """A night loads every record and asks for the marts, which are built and published; a second doubles none.

    The warehouse and the copy are their owner's alone. Neither key nor numbers get into Dagster's records.
    """
    site = make_site(small_pbx())
    night, ran = run_night(site)
    assert night == {"success": True, "asked": ["calls/marts"]}
    assert_loaded(site)
    rows = {f"calls/main/{name}": len(site.query(f"from raw.{name}")) for name in LISTS}
    assert rows["calls/main/queue_calls"] > 100
    assert dict(read_events(site)["materialized"]) == rows

    built = materialize(site, "calls/marts")
    assert built.code == 0, built.err
    with duckdb.connect(str(site.folder / "published" / "calls.duckdb"), read_only=True) as marts:
        counted = marts.execute("select count(*) from marts.queue_calls").fetchone()
    assert counted == (rows["calls/main/queue_calls"] + rows["calls/main/ringgroup_calls"],)
    assert [path.name for path in site.folder.glob("**/*.duckdb") if path.stat().st_mode & 0o077] == []

    night, again = run_night(site)
    assert night["success"]
    assert_loaded(site)
    texts = (text for done in (ran, built, again) for text in (done.out, done.err))
    assert_no_secrets(site.pbx, [site.folder / "dagster"], *texts)


def test_one_list(make_site: MakeSite) -> None:
    """One asset is materialized by itself: nothing is asked for the other lists."""
    site = make_site(small_pbx())
    ran = materialize(site, "calls/main/queue_calls")
    assert ran.code == 0, ran.err
    assert [asset for asset, _ in read_events(site)["materialized"]] == ["calls/main/queue_calls"]
    assert {arrival.endpoint for arrival in site.pbx.arrivals} == {"queue_calls"}


def test_many_packages(make_site: MakeSite) -> None:
    """A first load of several packages is one materialization: the op runs on until nothing is missing."""
    site = make_site(small_pbx(), settings={"package_pages": "1"})
    night, ran = run_night(site)
    assert night["success"], ran.err
    assert_loaded(site)
    packages = site.query("select count(*) as packages from raw._dlt_loads")
    assert packages[0]["packages"] > 1
    assert len(read_events(site)["materialized"]) == len(LISTS)


def test_a_spent_budget_is_waited_for(make_site: MakeSite) -> None:
    """Where the budget ends, the load keeps what it has, and goes on as soon as a request may leave."""
    settings = {"budget.requests": "2", "budget.window_seconds": "10", "budget.reserve_interactive": "0"}
    site = make_site(small_pbx(), settings=settings)
    night, ran = run_night(site)
    assert night["success"], ran.err
    assert_loaded(site)
    retries = read_events(site)["retries"]
    assert retries
    assert all(0 <= seconds <= 10 for seconds in retries)
    assert site.pbx.most_in_window(10) <= 2


def test_a_refused_key_needs_a_person(make_site: MakeSite) -> None:
    """It fails with the error's own text and without a retry; the other PBX is loaded, and the marts are asked for."""
    site = make_site(small_pbx("leeds"), small_pbx("sydney", seed=1))
    site.set_setting("accounts.leeds.api_key", "another-key-4b1f")
    assets = site.folder / "assets.py"
    assets.write_text(edited("dagster_assets.py", {'PBXS = ("main",)': 'PBXS = ("leeds", "sydney")'}))
    night, ran = run_night(site, assets)
    assert night == {"success": False, "asked": ["calls/marts"]}
    assert "refused the request (401)" in ran.err
    assert_loaded(site, "sydney")
    events = read_events(site)
    assert {asset.split("/")[1] for asset, _ in events["materialized"]} == {"sydney"}
    assert events["retries"] == []
    assert_no_secrets(site.pbx, [site.folder / "dagster"], ran.out, ran.err)
    assert "another-key-4b1f" not in ran.out + ran.err
