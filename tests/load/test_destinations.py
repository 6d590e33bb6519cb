"""`--destination NAME`: every dlt destination that can replace whole days; the others are refused before a request."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from pipelines.sandbox.account import Account
from tests.support.findings import examine, failed
from tests.support.messages import KEY, assert_told
from tests.support.site import Site, queue_call, user_call
from tests.support.stranger import make_pipeline, stored, told

# dlt's own merge by a primary key, on SQLAlchemy
pytestmark = pytest.mark.filterwarnings("ignore:implicitly coercing SELECT object")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TABLES = {
    "user_calls": [user_call(NOON - timedelta(hours=n)) for n in range(30)],
    "queue_calls": [queue_call(NOON)],
}
OTHER = ("--destination", "sqlalchemy")
REFUSED = [
    ("filesystem", "cannot replace whole days"),
    ("nonsense", "dlt has no destination 'nonsense'."),
    ("postgress", "did you mean 'postgres'?"),
    ("mssql", "pip install 'dlt[mssql]'"),
    ("snowflake", "[destination.snowflake]"),
]


@pytest.fixture
def site(make_site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch) -> Site:
    """A PBX with calls of two days, and SQLite as SQLAlchemy's database."""
    made = make_site(Account(KEY, TABLES))
    monkeypatch.setenv("DESTINATION__SQLALCHEMY__CREDENTIALS", f"sqlite:///{made.folder}/calls.db")
    return made


def test_load_and_status(site: Site) -> None:
    """SQLite gets every call once, over two loads. Status reads coverage from it, without this machine's state, and
    touches no DuckDB file."""
    assert orjson.loads(site.run("status", "--json", *OTHER).out)["accounts"][0]["as_of"] == "the warehouse"
    for loaded in (30, 0):
        ran = site.run("load", "--json", *OTHER)
        assert ran.code == 0, ran.err
        assert orjson.loads(ran.out)["loads"][0]["rows"]["user_calls"] == loaded
    pipeline = make_pipeline(f"sqlite:///{site.folder}/calls.db", site.folder / "stranger")
    pipeline.sync_destination()
    for endpoint in TABLES:
        assert stored(pipeline, endpoint) == told(site.pbx.records(endpoint), endpoint)
    (site.folder / "state" / "dlt").rename(site.folder / "gone")
    (found,) = orjson.loads(site.run("status", "--json", *OTHER).out)["accounts"]
    assert (found["as_of"], found["endpoints"]["user_calls"]["calls"]) == ("the warehouse", 30)
    assert found["endpoints"]["user_calls"]["first_day"] == "2026-03-01"
    assert not site.warehouse.exists()


def test_doctor(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor has one finding for it, none for a published copy; a database that does not open is a failure."""
    code, found = examine(site, *OTHER)
    assert (code, found["warehouse"]["found"].split()[-2:]) == (0, ["whole", "days"])
    assert not {"room", "readers", "published copy"} & found.keys()
    for url in (f"sqlite:///{site.folder}/none/calls.db", "mysql://me:s3cret@127.0.0.1:9/x", "no address"):
        monkeypatch.setenv("DESTINATION__SQLALCHEMY__CREDENTIALS", url)
        code, found = examine(site, *OTHER)
        assert (code, failed(found)) == (78, {"warehouse": 78})
        assert "[destination.sqlalchemy]" in found["warehouse"]["found"]
        assert "s3cret" not in found["warehouse"]["found"]


@pytest.mark.parametrize(("name", "words"), REFUSED)
def test_refused(make_site: Callable[..., Site], name: str, words: str) -> None:
    """A destination that is unknown, not installed, not set up or unable to replace days ends with 78, said once for
    all accounts, before the first request."""
    site = make_site(Account("north", name="north"), Account("south", name="south"))
    for command in ("load", "status"):
        ran = site.run(command, "--destination", name)
        assert_told(ran, 78, words)
        assert ran.err.count(words) == 1
    assert not site.pbx.arrivals
    code, found = examine(site, "--account", "north", "--destination", name)
    assert (code, failed(found)) == (78, {"warehouse": 78})
    assert words in found["warehouse"]["found"]


@pytest.mark.parametrize("command", ["run", "build", "publish", "report", "docs", "dashboard", "lost"])
def test_models_need_duckdb_or_postgres(site: Site, command: str) -> None:
    """What builds or reads the marts takes DuckDB and Postgres alone: another is a usage error."""
    assert_told(site.run(command, *OTHER), 2, "'duckdb', 'postgres'")
