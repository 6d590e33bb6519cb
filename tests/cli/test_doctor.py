"""`calls doctor`: tells causes apart, gives each its next step, and costs at most one request per account."""

import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import orjson
import psycopg2
import pytest

from pipelines.cli.doctor.findings import Note
from pipelines.cli.doctor.reach import describe_address, describe_end, describe_skew
from pipelines.errors import SettingsError
from pipelines.sandbox.account import Account
from tests.support import night
from tests.support.messages import KEY, assert_told
from tests.support.models_warehouses import empty_warehouse
from tests.support.site import Site

MakeSite = Callable[..., Site]
CERTIFICATE = Path(__file__).parent / "localhost.pem"


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """A PBX with nothing wrong."""
    return make_site(Account(KEY))


def examine(site: Site, *arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit code, and each finding by what was looked at."""
    ran = site.run("doctor", "--json", *arguments)
    assert KEY not in ran.out + ran.err
    assert "Traceback" not in ran.err
    return ran.code, {one["what"]: one for one in orjson.loads(ran.out)["findings"]}


def failed(found: dict[str, Any]) -> dict[str, int]:
    """The exit codes of what failed."""
    return {what: one["exit_code"] for what, one in found.items() if one["verdict"] == "fail"}


@contextmanager
def tls_server() -> Iterator[int]:
    """A server on loopback with a certificate that nobody signed; yields its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def shake_hands() -> None:
            connection, _ = server.accept()
            with connection:
                try:
                    context.wrap_socket(connection, server_side=True).close()
                except OSError:  # the client does not trust it
                    return

        thread = threading.Thread(target=shake_hands)
        thread.start()
        yield server.getsockname()[1]
        thread.join(10)


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
    failed = [line for line in ill.out.splitlines() if line.startswith("FAIL")]
    assert len(failed) == 2
    assert "Whitelisted IPs" in failed[0]
    assert "published/calls.duckdb" in failed[1]
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


@pytest.mark.parametrize(
    ("address", "what", "code", "words"),
    [
        ("https://pbx.invalid", "host", 78, "cannot be looked up"),
        ("https://127.0.0.1:9", "certificate", 69, "does not answer at port 9"),
        ("https://127.0.0.1:{port}", "certificate", 78, "does not speak TLS"),
    ],
)
def test_a_wrong_address(site: Site, address: str, what: str, code: int, words: str) -> None:
    """An unknown name, a closed port and a port without TLS are told apart, without a request."""
    site.set_setting("base_url", address.format(port=site.pbx.base_url.rpartition(":")[2]))
    ended, found = examine(site)
    assert (ended, failed(found)) == (code, {what: code})
    assert words in found[what]["found"]
    assert found["API, key, clock"]["verdict"] == "not tried"
    assert orjson.loads(site.run("budget", "--json").out)["accounts"][0]["used"] == 0
    assert not [arrival for arrival in site.pbx.arrivals if arrival.account == "main"]


def test_a_certificate_that_is_not_trusted(site: Site) -> None:
    """A certificate of unknown origin, such as a firewall's, is refused before the key is sent."""
    with tls_server() as port:
        site.set_setting("base_url", f"https://localhost:{port}")
        ended, found = examine(site)
    assert (ended, failed(found)) == (78, {"certificate": 78})
    assert "self-signed certificate" in found["certificate"]["found"]


@pytest.mark.parametrize(("days", "is_noted"), [(13, True), (15, False)])
def test_a_certificate_near_its_end(days: int, is_noted: bool) -> None:
    """It says on which day the certificate ends; in the last two weeks that is a note."""
    found = describe_end(1_800_000_000.0 + days * 86_400, 1_800_000_000.0)
    assert isinstance(found, Note) == is_noted
    assert "until 2027-0" in str(found)


@pytest.mark.parametrize(
    ("address", "is_noted", "words"),
    [
        ("127.0.0.1", False, "on this machine"),
        ("::1", False, "on this machine"),
        ("192.168.1.20", True, "public address of the router"),
        ("100.64.3.4", True, "public address of the router"),  # a provider's own network
        ("fe80::1%eth0", True, "public address of the router"),
        ("8.8.8.8", False, "8.8.8.8: the PBX has to have it"),
    ],
)
def test_the_address_to_allow(address: str, is_noted: bool, words: str) -> None:
    """A public address belongs on the whitelist; for a private one it says which does, and where to find it."""
    found = describe_address(address)
    assert isinstance(found, Note) == is_noted
    assert words in str(found)


@pytest.mark.parametrize(("skew", "words"), [(300.0, "5 minutes behind"), (-300.0, "5 minutes ahead of")])
def test_a_clock_that_differs(skew: float, words: str) -> None:
    """A clock far from the PBX's is a failure that says by how much, and in which direction; a near one is not."""
    with pytest.raises(SettingsError, match=f"This machine's clock is {words} the PBX's"):
        describe_skew(skew)
    assert describe_skew(skew / 3) == "within 100 s of the PBX's"
    assert isinstance(describe_skew(None), Note)


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


def test_a_postgres(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Postgres without an address, without an answer, without the right to make schemas, and with nothing wrong."""
    postgres = ("--destination", "postgres")
    assert failed(examine(site, *postgres)[1]) == {"warehouse": 78}
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", "postgresql://me:s3cret@127.0.0.1:9/calls")
    ran = site.run("doctor", *postgres)
    assert_told(ran, 78)
    assert "s3cret" not in ran.out
    with empty_warehouse("postgres", tmp_path) as warehouse:
        with psycopg2.connect(warehouse.credentials) as connection, connection.cursor() as cursor:
            cursor.execute("create role guest login")
            cursor.execute("select current_user")
            (owner,) = cursor.fetchone() or ("",)
        connection.close()
        guest = warehouse.credentials.replace(f"//{owner}:", "//guest:").replace(f"//{owner}@", "//guest@")
        assert guest != warehouse.credentials
        monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", guest)
        ended, found = examine(site, *postgres)
        assert (ended, failed(found)) == (78, {"warehouse": 78})
        assert "grant create on database" in found["warehouse"]["found"]
        monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", warehouse.credentials)
        ended, found = examine(site, *postgres)
        assert (ended, failed(found)) == (0, {})
        assert "may make schemas" in found["warehouse"]["found"]
        assert "will be made" in found["readers"]["found"]
        assert found["published copy"]["verdict"] == "note"
