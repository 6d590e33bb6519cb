"""The source by itself, as any dlt user runs it: no `calls` around it, on three destinations."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import dlt
import duckdb
import pytest
from dlt.extract.exceptions import ResourceExtractionError
from dlt.pipeline.exceptions import PipelineStepFailed

from pipelines.errors import BudgetSpent, CallsError, KeyRefused, SettingsError, UnexpectedPayload
from pipelines.sandbox.account import Account
from pipelines.sandbox.responses import WireRow
from pipelines.voipcloud import SIDE_TABLES, VoipcloudSource, reader, voipcloud
from pipelines.voipcloud.list_state import VERSION
from pipelines.voipcloud.schemas import ENDPOINTS
from tests.support.postgres_server import new_database
from tests.support.readme import blocks
from tests.support.site import Site, assert_truth, queue_call, ringgroup_call, user_call
from tests.support.stranger import ask, make_pipeline, run_until_done, stored, told

# dlt's own merge by a primary key, on SQLAlchemy
pytestmark = pytest.mark.filterwarnings("ignore:implicitly coercing SELECT object")
MakeSite = Callable[..., Site]
ROOT = Path(__file__).parents[2]
KEY = "a-key-that-nobody-may-see"


def calls(count: int = 60, hours: float = 3) -> dict[str, list[WireRow]]:
    """Calls of every endpoint up to an hour ago, one each `hours`; two in ten look alike."""
    now = datetime.now(UTC).replace(microsecond=0)
    starts = [now - timedelta(hours=1 + hours * (n // 2 * 2 if n % 10 == 1 else n)) for n in range(count)]
    return {
        "user_calls": [user_call(start) for start in starts],
        "queue_calls": [queue_call(start) for start in starts],
        "ringgroup_calls": [ringgroup_call(start) for start in starts],
    }


@pytest.fixture(params=["duckdb", "postgres", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty destination."""
    if request.param == "postgres":
        return new_database()
    return f"{request.param}:///{tmp_path / 'there.db'}"


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """One PBX with calls at every endpoint."""
    return make_site(Account(KEY, calls()))


@pytest.fixture
def pipeline(site: Site) -> dlt.Pipeline:
    """A stranger's pipeline into a DuckDB file."""
    return make_pipeline(f"duckdb:///{site.folder / 'there.db'}", site.folder)


def assert_told(pipeline: dlt.Pipeline, site: Site, *endpoints: str, account: str = "main") -> None:
    """The destination holds what the PBX lists, as often."""
    for endpoint in endpoints or ENDPOINTS:
        assert stored(pipeline, endpoint, account) == told(site.pbx.records(endpoint, account), endpoint), endpoint


def met(raised: pytest.ExceptionInfo[PipelineStepFailed]) -> CallsError:
    """The source's own error within dlt's."""
    assert isinstance(raised.value.exception, ResourceExtractionError)
    cause = raised.value.exception.__cause__
    assert isinstance(cause, CallsError)
    return cause


def test_run_twice(url: str, site: Site) -> None:
    """Run twice by one source object and once by another, calls are neither lost nor doubled; changes come in."""
    pipeline, source = make_pipeline(url, site.folder), voipcloud()
    pipeline.run(source)
    assert (source.outcome.error, source.outcome.has_more, source.outcome.requests) == (None, False, 3)
    assert_told(pipeline, site)
    site.pbx.replace("queue_calls", 0, queue_call(datetime.now(UTC) - timedelta(minutes=50), callerid="+61491570110"))
    site.pbx.insert("user_calls", user_call(datetime.now(UTC) - timedelta(minutes=30)))
    for each in (source, voipcloud()):
        pipeline.run(each)
        assert_told(pipeline, site)
        assert each.outcome.requests == 3


def test_one_list_alone(url: str, site: Site) -> None:
    """`with_resources` loads that list alone, and the others later do not touch it."""
    pipeline = make_pipeline(url, site.folder)
    source = voipcloud()
    pipeline.run(source.with_resources("queue_calls"))
    assert source.outcome.requests == site.asked("queue_calls") == 1
    assert_told(pipeline, site, "queue_calls")
    assert not stored(pipeline, "user_calls")
    pipeline.run(voipcloud())
    assert_told(pipeline, site)
    days = ask(pipeline, "loaded_days", "endpoint, call_day")
    assert len(days) == len(set(days))
    assert {endpoint for endpoint, _ in days} == set(ENDPOINTS)


def test_small_packages(url: str, site: Site) -> None:
    """Packages of one page each go on where the last ended, each with a new source, until nothing is left."""
    site.set_setting("package_pages", "1")
    assert sum(run_until_done(url, site.folder)) == 3
    assert_told(make_pipeline(url, site.folder), site)


@pytest.mark.parametrize("is_same", [True, False])
def test_a_run_that_the_budget_ends(make_site: MakeSite, is_same: bool) -> None:
    """Without a request left the run ends with what is whole; run again, by the same source or another, it goes on."""
    site = make_site(Account(KEY, calls(), requests=4, window_seconds=1.5))
    site.set_setting("budget.requests", "4")
    site.set_setting("budget.window_seconds", "1.5")
    site.set_setting("budget.reserve_interactive", "2")
    pipeline, source = make_pipeline(f"duckdb:///{site.folder / 'there.db'}", site.folder), voipcloud()
    pipeline.run(source)
    assert isinstance(source.outcome.error, BudgetSpent)
    assert source.outcome.has_more
    assert source.outcome.until is not None
    assert source.outcome.until > time.time() - 1
    assert sum(map(len, (stored(pipeline, name) for name in ENDPOINTS))) > 0
    for _ in range(20):
        time.sleep(max(0.0, (source.outcome.until or 0) - time.time()))
        source = source if is_same else voipcloud()
        try:
            pipeline.run(source)
        except PipelineStepFailed:  # on a slow machine a request of the run before may still hold its slot
            assert isinstance(source.outcome.error, BudgetSpent)
        if not source.outcome.has_more:
            break
    assert source.outcome.error is None
    assert_told(pipeline, site)
    assert all(arrival.status == 200 for arrival in site.pbx.arrivals)


def test_a_run_that_reads_nothing_raises_itself(make_site: MakeSite) -> None:
    """A refused key is raised as what it is, from the first run to the last, and what was loaded stays."""
    site = make_site(Account(KEY, calls()))
    pipeline = make_pipeline(f"duckdb:///{site.folder / 'there.db'}", site.folder)
    pipeline.run(voipcloud())
    site.set_setting("api_key", "another")
    source = voipcloud()
    with pytest.raises(PipelineStepFailed) as raised:
        pipeline.run(source)
    assert isinstance(met(raised), KeyRefused)
    assert source.outcome.error is met(raised)
    assert_told(pipeline, site)
    site.set_setting("api_key", KEY)
    pipeline.run(source)
    assert source.outcome.error is None


def test_one_list_that_cannot_be_read(site: Site, pipeline: dlt.Pipeline) -> None:
    """The others are loaded, the error stands in the outcome, and the next run meets it at its first request."""
    site.pbx.fault("rows", times=None, mutate_rows=lambda rows: rows[::-1], endpoint="user_calls")
    source = voipcloud()
    for _ in range(2):
        pipeline.run(source)
        assert isinstance(source.outcome.error, UnexpectedPayload)
        assert source.outcome.list_errors.keys() == {"user_calls"}
        assert_told(pipeline, site, "queue_calls", "ringgroup_calls")
    with pytest.raises(PipelineStepFailed) as raised:
        pipeline.run(source.with_resources("user_calls"))
    assert isinstance(met(raised), UnexpectedPayload)
    site.pbx.faults.clear()
    pipeline.run(source)
    assert_told(pipeline, site)


def test_making_a_source_reads_and_opens_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source can be made where no setting is right; each run reads the settings of that moment."""
    monkeypatch.delenv("SOURCES__VOIPCLOUD__API_KEY")
    source = voipcloud(account="main")
    assert not (site.folder / "state").exists()
    pipeline = make_pipeline(f"duckdb:///{site.folder / 'there.db'}", site.folder)
    with pytest.raises(PipelineStepFailed) as raised:
        pipeline.run(source)
    assert isinstance(met(raised), SettingsError)
    assert not site.pbx.arrivals
    site.set_setting("api_key", KEY)
    pipeline.run(source)
    assert_told(pipeline, site)


def test_two_accounts_through_one_pipeline(make_site: MakeSite) -> None:
    """Each account has its own coverage and its whole history; the key at the top is nobody's among several."""
    site = make_site(Account("one", calls(), name="leeds"), Account("two", calls(30), name="sydney"))
    pipeline = make_pipeline(f"duckdb:///{site.folder / 'there.db'}", site.folder)
    pipeline.run([voipcloud(account="leeds"), voipcloud(account="sydney")])
    for _ in range(2):
        for account in ("leeds", "sydney"):
            assert_told(pipeline, site, account=account)
        pipeline.run(voipcloud(account="sydney"))
        pipeline.run(voipcloud(account="leeds"))
    with pytest.raises(PipelineStepFailed) as raised:
        pipeline.run(voipcloud())
    assert "There is no account 'main'" in str(met(raised))


def test_one_account_twice_in_one_run(pipeline: dlt.Pipeline, site: Site) -> None:
    """Two sources of one account in one package would double its calls, so nothing of it is loaded."""
    with pytest.raises(PipelineStepFailed) as raised:
        pipeline.run([voipcloud(), voipcloud()])
    assert "two sources of this account" in str(met(raised))
    pipeline.run(voipcloud())
    assert_told(pipeline, site)


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_a_limit_of_items(site: Site, pipeline: dlt.Pipeline, limit: int) -> None:
    """dlt's own `add_limit` may cut a run short anywhere; the next run makes up for it."""
    site.set_setting("package_pages", "2")
    pipeline.run(voipcloud().add_limit(limit))
    for endpoint in ENDPOINTS:
        assert stored(pipeline, endpoint) <= told(site.pbx.records(endpoint), endpoint)
    list(run_until_done(f"duckdb:///{site.folder / 'there.db'}", site.folder))
    assert_told(pipeline, site)


def test_a_list_that_is_dropped(site: Site, pipeline: dlt.Pipeline) -> None:
    """`dlt pipeline … drop` of one list leaves the others' rows in the side tables, and the next run reads it anew."""
    pipeline.run(voipcloud())
    before = ask(pipeline, "loaded_days", "endpoint, call_day")
    owners = {name: pipeline.default_schema.tables[name]["resource"] for name in ("loaded_days", "lists")}
    assert owners == {"loaded_days": "loaded_days", "lists": "lists"}
    pipeline.run([voipcloud().with_resources("accounts")], refresh="drop_resources")
    pipeline.run(voipcloud().with_resources("queue_calls"), refresh="drop_resources")
    assert sorted(ask(pipeline, "loaded_days", "endpoint, call_day")) == sorted(before)
    assert_told(pipeline, site)


def test_a_state_from_a_newer_version(site: Site, pipeline: dlt.Pipeline) -> None:
    """A state that a newer version wrote is refused before the first request, with 78, also by `calls load`."""
    pipeline.run(voipcloud())
    asked = len(site.pbx.arrivals)
    with pipeline.managed_state() as state:
        state["sources"]["voipcloud"]["resources"]["queue_calls"]["main"]["version"] = VERSION + 1
    with pytest.raises(PipelineStepFailed) as raised:
        pipeline.run(voipcloud())
    assert met(raised).exit_code == 78
    assert "newer version" in str(met(raised))
    assert len(site.pbx.arrivals) == asked


def test_a_destination_that_would_double(site: Site, tmp_path: Path) -> None:
    """A destination that takes a merge and appends is refused before the first request."""
    pipeline = dlt.pipeline(
        "calls_main",
        destination=dlt.destinations.filesystem(str(tmp_path / "lake")),
        dataset_name="raw",
        pipelines_dir=str(tmp_path / "dlt"),
    )
    with pytest.raises(PipelineStepFailed) as raised:
        pipeline.run(voipcloud())
    assert met(raised).exit_code == 78
    assert not site.pbx.arrivals


def test_the_key_stays_where_it_is(site: Site, pipeline: dlt.Pipeline, caplog: pytest.LogCaptureFixture) -> None:
    """Neither state, schema, trace, log nor any file of dlt's holds the key, after good runs and bad."""
    with caplog.at_level(logging.DEBUG):
        pipeline.run(voipcloud())
        site.pbx.fault("rows", times=None, mutate_rows=lambda rows: rows[::-1], endpoint="user_calls")
        pipeline.run(voipcloud())
    assert KEY not in caplog.text
    assert KEY not in json.dumps(pipeline.state, default=str) + str(pipeline.last_trace) + repr(voipcloud())
    found = [path for path in site.folder.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert found == []


def test_a_warehouse_of_calls_goes_on(site: Site) -> None:
    """What `calls load` loaded, a stranger's pipeline of the same name goes on with, and the other way round."""
    assert site.load().error is None
    asked = site.asked("queue_calls")
    pipeline = make_pipeline(f"duckdb:///{site.warehouse}", site.folder / "elsewhere")
    pipeline.run(voipcloud())
    assert site.asked("queue_calls") == asked + 1
    assert_told(pipeline, site)
    site.pbx.insert("queue_calls", queue_call(datetime.now(UTC) - timedelta(minutes=5)))
    assert site.load().error is None
    assert_told(make_pipeline(f"duckdb:///{site.warehouse}", site.folder / "elsewhere"), site)


def test_a_warehouse_of_the_first_version_goes_on(site: Site) -> None:
    """Coverage that stands where the first version kept it is found, and moves: nothing is read again."""
    assert site.load().error is None
    settled = site.query("select count(*) as days from raw.loaded_days where is_settled")[0]["days"]
    old = make_pipeline(f"duckdb:///{site.warehouse}", site.folder / "old")
    old.sync_destination()
    with old.managed_state(extract_state=True) as state:
        known = state["sources"]["voipcloud"]
        lists = known.pop("resources")
        known["coverage"] = {name: as_first_version(lists[name]["main"]["coverage"]) for name in ENDPOINTS}
    old.normalize()
    old.load()
    asked = site.asked("queue_calls")
    loaded = site.load()
    assert (loaded.error, loaded.warnings) == (None, [])
    assert site.asked("queue_calls") == asked + 1
    assert sum(loaded.days.values()) < 15
    assert settled > 15
    assert_truth(site)
    new = make_pipeline(f"duckdb:///{site.warehouse}", site.folder / "new")
    new.sync_destination()
    known = new.state["sources"]["voipcloud"]
    assert known["coverage"] == {}
    assert set(known["resources"]) >= set(ENDPOINTS)


def as_first_version(coverage: dict[str, Any]) -> dict[str, Any]:
    """A list's coverage as the first version wrote it, with a record without a start in a day of its own."""
    return coverage | {"settled": coverage["settled"]["ranges"], "unplaced": {"2026-01-01": 1}}


def test_the_readmes_script(site: Site) -> None:
    """The script in the README runs as it stands."""
    (script,) = (block for block in blocks("python") if "pipeline.run" in block)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ran = subprocess.run([sys.executable, "-c", script], env=environment, cwd=site.folder, check=False, timeout=120)
    assert ran.returncode == 0
    with duckdb.connect(str(site.warehouse)) as connection:
        assert connection.sql("select count(*) from raw.queue_calls").fetchall() == [(60,)]


@pytest.fixture
def small_pages(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of 20 calls, three to a package, so that a read takes several packages."""
    monkeypatch.setattr(reader, "MAX_LIMIT", 20)
    site.set_setting("package_pages", "3")


def drain(pipeline: dlt.Pipeline, source: VoipcloudSource) -> None:
    """Runs a source until nothing is left."""
    for _ in range(40):
        pipeline.run(source)
        if not source.outcome.has_more:
            return
    pytest.fail("it never ends")


@pytest.mark.usefixtures("small_pages")
def test_a_run_that_is_interrupted(site: Site, pipeline: dlt.Pipeline) -> None:
    """A broken-off run leaves nothing in memory to go on from: run again, the same source reads what was lost."""
    source, is_pressed = voipcloud(), [False]

    def press(table: Any) -> Any:
        if is_pressed[0]:
            raise KeyboardInterrupt
        return table

    source.user_calls.add_map(press)
    pipeline.run(source)
    assert source.outcome.has_more
    is_pressed[0] = True
    with pytest.raises(PipelineStepFailed):
        pipeline.run(source)
    is_pressed[0] = False
    drain(pipeline, source)
    assert_told(pipeline, site)


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("refresh", ["drop_resources", "drop_data", "drop_sources"])
def test_a_refresh_of_the_first_versions_warehouse(site: Site, pipeline: dlt.Pipeline, refresh: Any) -> None:
    """Coverage of the first version is not believed when its rows are dropped in the same run."""
    drain(pipeline, voipcloud())
    with pipeline.managed_state(extract_state=True) as state:
        known = state["sources"]["voipcloud"]
        lists = known["resources"]
        known["coverage"] = {name: as_first_version(lists[name].pop("main")["coverage"]) for name in ENDPOINTS}
    pipeline.run()
    pipeline.run(voipcloud(), refresh=refresh)
    drain(pipeline, voipcloud())
    assert_told(pipeline, site)


@pytest.mark.filterwarnings("ignore:The 'warn' method is deprecated")  # dlt's own, when something is pending
def test_a_source_that_has_not_run(site: Site, pipeline: dlt.Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """dlt's next run after a failed load loads only what is pending; the source says that there is more."""
    with monkeypatch.context() as patch:
        patch.setattr(dlt.Pipeline, "load", full_disk)
        with pytest.raises(OSError, match="full"):
            pipeline.run(voipcloud())
    site.pbx.insert("queue_calls", queue_call(datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)))
    source = voipcloud()
    pipeline.run(source)
    assert source.outcome.has_more
    drain(pipeline, source)
    assert_told(pipeline, site)


def full_disk(*_: object, **__: object) -> None:
    """As a disk without room."""
    raise OSError("the disk is full")


def test_parts_of_one_source_in_one_run(site: Site, pipeline: dlt.Pipeline) -> None:
    """Copies of one source with different lists can be run together."""
    source = voipcloud()
    pipeline.run([source.with_resources("user_calls"), source.with_resources("queue_calls", "system_status")])
    assert_told(pipeline, site, "user_calls", "queue_calls")


@pytest.mark.usefixtures("small_pages")
def test_an_earlier_start_in_the_middle_of_a_read(site: Site, pipeline: dlt.Pipeline) -> None:
    """A start date moved back between two packages brings the older days in the same loop."""
    site.set_setting("package_pages", "1")
    site.set_setting("start_date", (datetime.now(UTC) - timedelta(days=4)).date().isoformat())
    pipeline.run(voipcloud())
    site.set_setting("start_date", (datetime.now(UTC) - timedelta(days=60)).date().isoformat())
    assert sum(run_until_done(f"duckdb:///{site.folder / 'there.db'}", site.folder)) < 30
    assert_told(make_pipeline(f"duckdb:///{site.folder / 'there.db'}", site.folder), site)


def test_a_write_disposition_that_would_double(site: Site, pipeline: dlt.Pipeline) -> None:
    """Appending to what is loaded is refused with 78, and nothing is asked."""
    pipeline.run(voipcloud())
    asked = len(site.pbx.arrivals)
    with pytest.raises(PipelineStepFailed) as raised:
        pipeline.run(voipcloud(), write_disposition="append")
    assert met(raised).exit_code == 78
    assert len(site.pbx.arrivals) == asked
    assert_told(pipeline, site)


def test_empty_texts(site: Site, url: str) -> None:
    """An empty text stays one, and is not nothing, on each destination."""
    call = queue_call(datetime.now(UTC).replace(microsecond=0), answered_by_user_name="", callerid="+61491570156")
    site.pbx.insert("queue_calls", call)
    pipeline = make_pipeline(url, site.folder)
    pipeline.run(voipcloud())
    assert ("+61491570156", "") in ask(pipeline, "queue_calls", "callerid, answered_by_user_name")


@pytest.mark.parametrize("seed", range(2))
def test_a_script_that_is_killed(site: Site, seed: int) -> None:
    """Killed at any moment, a stranger's script run again ends with the PBX's calls."""
    kill_and_finish(site, f"duckdb:///{site.folder / 'there.db'}", Random(seed), kills=3)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10))
def test_a_script_that_is_killed_often(site: Site, url: str, seed: int) -> None:
    """The same, on three destinations."""
    kill_and_finish(site, url, Random(seed), kills=12)


def kill_and_finish(site: Site, url: str, rng: Random, kills: int) -> None:
    """Runs the script in processes that are killed after a while, then to its end."""
    if url.startswith("duckdb"):
        duckdb.connect(url.removeprefix("duckdb:///")).close()  # a file half made by a killed run cannot be opened
    site.set_setting("package_pages", "1")
    command = [sys.executable, "-m", "tests.support.stranger", url, str(site.folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for _ in range(kills):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
        assert process.stdout is not None
        for _ in range(rng.randrange(3)):
            process.stdout.readline()
        time.sleep(rng.random() * 1.5)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    ended = subprocess.run(command, env=environment, capture_output=True, timeout=300, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert_told(make_pipeline(url, site.folder), site)


def test_side_tables_hold_each_row_once(site: Site, pipeline: dlt.Pipeline) -> None:
    """What cannot be read stands once in its side table after any number of runs, whichever list wrote last."""
    site.pbx.fault("no_start", times=None, every=4, endpoint="queue_calls")
    site.pbx.fault("rows", times=None, mutate_rows=spoil_direction, endpoint="user_calls")
    counts = []
    for _ in range(2):
        pipeline.run(voipcloud())
        counts.append({name: len(ask(pipeline, name, "*")) for name in SIDE_TABLES})
        copies = ask(pipeline, "unplaced_records", "endpoint, copies_count")
        assert sum(number for _, number in copies) >= 2
        assert {endpoint for endpoint, _ in copies} == {"queue_calls"}
    assert counts[0]["rejected_records"] == counts[1]["rejected_records"] > 0
    with duckdb.connect(str(site.folder / "there.db")) as connection:
        (days,) = connection.sql("select sum(rejected_count) from raw.loaded_days").fetchall()
    assert days[0] == counts[1]["rejected_records"]


def spoil_direction(rows: list[WireRow]) -> list[WireRow]:
    """Leaves one user call in five without a direction."""
    return [row | {"is_inbound": None} if number % 5 == 0 else row for number, row in enumerate(rows)]
