"""`calls doctor`: tells causes apart, gives each its next step, and costs at most one request per account."""

import re
from collections.abc import Callable
from pathlib import Path

import duckdb
import psycopg2
import pytest

from pipelines.sandbox.account import Account
from tests.support import night
from tests.support.findings import examine, failed
from tests.support.messages import KEY, assert_told
from tests.support.postgres_server import serve_postgres
from tests.support.site import Site

MakeSite = Callable[..., Site]
CERTIFICATE = Path(__file__).parent / "localhost.pem"


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """A PBX with nothing wrong."""
    return make_site(Account(KEY))


def test_as_lines(site: Site) -> None:
    """Each check has a line, in a fixed order, for one request. Failed ones have a remedy; the gravest code wins."""
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
    failures = [line for line in ill.out.splitlines() if line.startswith("FAIL")]
    assert len(failures) == 2
    assert "Whitelisted IPs" in failures[0]
    assert "published/calls.duckdb" in failures[1]
    assert len(site.pbx.arrivals) == 2


def test_as_json(site: Site) -> None:
    """Each finding has its account, a verdict, what was found and its exit code; with nothing wrong the code is 0."""
    code, found = examine(site)
    assert code == 0
    assert not failed(found)
    assert all(one.keys() == {"account", "what", "verdict", "found", "exit_code"} for one in found.values())
    assert {one["account"] for one in found.values()} == {"main", None}
    assert found["published copy"]["verdict"] == "note"
    assert "ledger.sqlite" in found["budget"]["found"]
    assert "0 of 100 requests used" in found["budget"]["found"]
    assert len(site.pbx.arrivals) == 1


@pytest.mark.parametrize(
    ("kind", "what", "code", "words"),
    [
        ("401", "key and address", 77, "Whitelisted IPs"),
        ("html", "API", 65, "a portal"),
        ("redirect", "API", 78, "base_url"),
        ("404", "API", 78, "base_url"),
        ("429", "API", 75, "another program"),
        ("503", "API", 69, "later"),
    ],
)
def test_what_the_answer_means(site: Site, kind: str, what: str, code: int, words: str) -> None:
    """One request, sent once, tells apart a refused key, a portal in place of the API and a PBX in trouble. The other
    checks go on."""
    site.pbx.fault(kind, times=None)
    ended, found = examine(site)
    assert (ended, failed(found)) == (code, {what: code})
    assert words in found[what]["found"]
    assert found["warehouse"]["verdict"] == "ok"
    assert len(site.pbx.arrivals) == 1


def test_a_budget_that_is_spent(site: Site) -> None:
    """If no request is left, none is sent, and it says when one may go."""
    site.set_setting("budget.requests", "1")
    site.set_setting("budget.reserve_interactive", "0")
    assert [examine(site)[0] for _ in range(2)] == [0, 75]
    assert "The next request may leave at" in examine(site)[1]["API"]["found"]
    assert len(site.pbx.arrivals) == 1


def test_settings_that_are_wrong(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing time zone and a missing key are reported with the ways to set them; the other checks go on."""
    monkeypatch.delenv("SOURCES__VOIPCLOUD__TIMEZONE")
    ended, found = examine(site)
    assert (ended, failed(found)) == (78, {"time zone": 78})
    assert "SOURCES__VOIPCLOUD__TIMEZONE" in found["time zone"]["found"]
    assert found["key and address"]["verdict"] == "ok"
    monkeypatch.delenv("SOURCES__VOIPCLOUD__API_KEY")
    ended, found = examine(site)
    assert (ended, failed(found)) == (78, {"settings": 78})
    assert "SOURCES__VOIPCLOUD__API_KEY" in found["settings"]["found"]
    assert found["warehouse"]["verdict"] == "ok"
    assert len(site.pbx.arrivals) == 1


def test_several_accounts(make_site: MakeSite) -> None:
    """One account's error hides no other's, the warehouse is checked once, and each account costs one request."""
    site = make_site(*(Account(name, name=name) for name in ("north", "south", "west")))
    site.set_setting("accounts.north.base_url", "ftp://north")
    site.pbx.fault("401", account="south", times=None)
    ran = site.run("doctor")
    assert ran.code == 78
    assert [line[5:].split(": ")[:2] for line in ran.out.splitlines() if line.startswith("FAIL")] == [
        ["north", "settings"],
        ["south", "key and address"],
    ]
    assert ran.out.count("warehouse.duckdb opens") == 1
    assert sorted(arrival.account for arrival in site.pbx.arrivals) == ["south", "west"]
    assert_told(site.run("doctor", "--account", "sooth"), 2, "did you mean 'south'?")


def test_an_old_copy(site: Site) -> None:
    """The readers' copy is shown with its age; one older than a day is a note, and a broken one a failure."""
    (site.folder / "published").mkdir()
    path = site.folder / "published" / "calls.duckdb"
    with duckdb.connect(str(path)) as copy:
        copy.execute("create schema marts")
        copy.execute("create table marts.load_health as select now() - interval 3 hours as last_load_at")
    found = examine(site)[1]["published copy"]
    assert (found["verdict"], found["found"].rpartition(", ")[2]) == ("ok", "3 hours ago")
    with duckdb.connect(str(path)) as copy:
        copy.execute("update marts.load_health set last_load_at = now() - interval 25 hours")
    found = examine(site)[1]["published copy"]
    assert found["verdict"] == "note"
    assert "1 day ago: has the nightly job run" in found["found"]
    path.write_text("no database")
    assert failed(examine(site)[1]) == {"published copy": 1}


def test_a_postgres(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Postgres without an address, without an answer, without the right to make schemas, and with nothing wrong."""
    postgres = ("--destination", "postgres")
    assert failed(examine(site, *postgres)[1]) == {"warehouse": 78}
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", "postgresql://me:s3cret@127.0.0.1:9/calls")
    ran = site.run("doctor", *postgres)
    assert_told(ran, 78)
    assert "s3cret" not in ran.out
    with serve_postgres() as address:
        with psycopg2.connect(address) as connection, connection.cursor() as cursor:
            cursor.execute("create role guest login")
            cursor.execute("select current_user")
            (owner,) = cursor.fetchone() or ("",)
        connection.close()
        guest = address.replace(f"//{owner}:", "//guest:").replace(f"//{owner}@", "//guest@")
        assert guest != address
        monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", guest)
        ended, found = examine(site, *postgres)
        assert (ended, failed(found)) == (78, {"warehouse": 78})
        assert "grant create on database" in found["warehouse"]["found"]
        monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", address)
        ended, found = examine(site, *postgres)
        assert (ended, failed(found)) == (0, {})
        assert "may make schemas" in found["warehouse"]["found"]
        assert "will be made" in found["readers"]["found"]
        assert found["published copy"]["verdict"] == "note"
