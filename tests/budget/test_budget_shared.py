"""A ledger shared by hosts, from a user's side: settings, rights, secrets and error messages."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from psycopg2.extensions import connection as Connection

from pipelines.budget import Budget, Limits
from pipelines.budget.clock import read_clock
from pipelines.budget.ledger import Ledger
from pipelines.budget.postgres import PostgresStorage
from pipelines.errors import BudgetSpent, CallsError, SettingsError, StoppedEarly
from pipelines.sandbox.account import Account
from pipelines.voipcloud.settings import read_accounts
from tests.support import night
from tests.support.ledgers import (
    ACCOUNT,
    HOST,
    KEY,
    LIMITS,
    TAKE_LOCK,
    empty_postgres,
    execute,
    held,
    postgres_url,
    spend,
)
from tests.support.messages import assert_told
from tests.support.postgres_server import control_server, server
from tests.support.site import Site, assert_truth, user_call

PASSWORD = "hush-tail"
NOON = datetime(2026, 9, 20, 12, tzinfo=UTC)
SMALL = {"budget.requests": "10", "budget.window_seconds": "2", "budget.reserve_interactive": "0"}
MakeSite = Callable[..., Site]

# A URL, and what its error message must contain.
BAD_URLS = [
    (f"postgresql://calls:{PASSWORD}@/ledgers?host=/no-such-folder", "ledgers at /no-such-folder"),
    (f"postgres://calls:{PASSWORD}@127.0.0.1:1/ledgers", "no server answers there"),
    (f"postgresql://calls:{PASSWORD}@no-such-host.invalid/ledgers", "no-such-host.invalid"),
    (f"postgresql://calls:{PASSWORD}@two@db.example/ledgers", "percent-encoded"),
    (f"postgresql://calls:{PASSWORD}/two@db.example/ledgers", "percent-encoded"),
    (f"postgresql://calls:{PASSWORD}%zz@db.example/ledgers", "not a Postgres URL such as"),
    (f"postgresql://calls:{PASSWORD}@db.example/ledgers?ssl=yes", "not a Postgres URL such as"),
    (f"postgress://calls:{PASSWORD}@db.example/ledgers", "begins with postgresql://"),
    (f"postgresql:/calls:{PASSWORD}@db.example/ledgers", "begins with postgresql://"),
    (f"host=db.example password={PASSWORD}", "begins with postgresql://"),
]


@pytest.fixture
def url() -> str:
    """A database without a ledger."""
    return empty_postgres()


@contextmanager
def ending_after(seconds: float, hangs: Connection) -> Iterator[None]:
    """End a program that hangs, so that a test that waits for it fails and does not hang too."""
    timer = threading.Timer(seconds, hangs.rollback)
    timer.start()
    yield
    timer.cancel()
    timer.join()


@pytest.mark.parametrize(("bad", "words"), BAD_URLS)
def test_a_url_that_cannot_be_used(make_site: MakeSite, bad: str, words: str) -> None:
    """It ends with 78 and costs no request; the message says why and holds no part of the password."""
    site = make_site(Account("key"), settings={"budget.ledger": bad})
    ran = site.run("budget")
    assert_told(ran, 78, words)
    assert not any(part in ran.out + ran.err for part in ("hush", "tail", "two@"))
    assert not site.pbx.arrivals
    assert not list(site.folder.rglob("*hush*"))


def test_account_does_not_show_its_url(make_site: MakeSite) -> None:
    """An account's repr holds no password. Without the setting the ledger is a file."""
    site = make_site(Account("key"))
    assert read_accounts()[0].ledger == site.folder / "state" / "ledger.sqlite"
    site.set_setting("budget.ledger", f"postgresql://calls:{PASSWORD}@db.example/ledgers")
    (account,) = read_accounts()
    assert PASSWORD in str(account.ledger)
    assert PASSWORD not in repr(account) + str(account)


def test_hosts_share_a_key(make_site: MakeSite, url: str) -> None:
    """Two hosts that load at once, with the URL in secrets.toml, share one budget, make no file and get no 429."""
    tables = {"user_calls": [user_call(NOON - timedelta(minutes=n)) for n in range(300)]}
    account = Account("key", tables, requests=10, window_seconds=2)
    site = make_site(account, settings=SMALL, latency_seconds=0.5, random_latency=True)
    (site.folder / ".dlt").mkdir()
    (site.folder / ".dlt" / "secrets.toml").write_text(f'[sources.voipcloud.budget]\nledger = "{url}"\n')
    here = night.start(site, "load")
    warehouse = str(site.folder / "there.duckdb")
    there = night.start(site, "load", CALLS_HOME=str(site.folder / "there"), DESTINATION__DUCKDB__CREDENTIALS=warehouse)
    for load in (here, there):
        ended = load.end()
        assert ended.code == 0, ended.err
    (usage,) = json.loads(night.run(site, "budget", "--json").out)["accounts"]
    assert len(site.pbx.arrivals) >= 8
    assert {arrival.status for arrival in site.pbx.arrivals} == {200}
    assert site.pbx.most_in_window(2) <= 10
    assert usage["in_flight"] == 0
    assert execute("SELECT count(*) >= %s FROM calls_ledger.requests", usage["used"]) == [(True,)]
    assert not list(site.folder.rglob("*.sqlite"))
    assert_truth(site)


def test_login_without_rights_gets_the_sql_to_run(url: str) -> None:
    """The SQL in the message is the remedy, both to create the schema and to share another login's."""
    execute("DROP ROLE IF EXISTS one; DROP ROLE IF EXISTS other; CREATE ROLE one LOGIN; CREATE ROLE other LOGIN")
    for login, pattern in (("one", r"run: (CREATE [^;]*);"), ("other", r"made it: (.*;)$")):
        with pytest.raises(SettingsError, match=f"may not be used by the login {login} ") as refused:
            Budget(postgres_url(login), HOST, KEY, LIMITS)
        (remedy,) = re.findall(pattern, str(refused.value))
        execute(remedy)
        spend(Budget(postgres_url(login), HOST, KEY, LIMITS), 2)
    assert Budget(url, HOST, KEY, LIMITS).usage().used == 4
    execute("DROP SCHEMA calls_ledger CASCADE; DROP ROLE one; DROP ROLE other")


@pytest.mark.usefixtures("url")
def test_password_key_and_host_are_nowhere() -> None:
    """Neither tables, nor what Python prints of the objects, nor errors hold the password, the key or the host."""
    secret = postgres_url(password=PASSWORD)
    budget = Budget(secret, HOST, KEY, LIMITS)
    texts = [repr(budget), repr(vars(budget)), repr(budget.usage())]
    spend(budget, 4)
    budget.block(10)
    texts += [repr(execute("SELECT * FROM calls_ledger.requests JOIN calls_ledger.accounts USING (account)"))]
    errors: list[CallsError] = []

    def fail() -> None:
        for wrong in (lambda: spend(budget, 1), lambda: Budget(secret + "&port=1", HOST, KEY, LIMITS)):
            with pytest.raises(CallsError) as error:
                wrong()
            errors.append(error.value)

    fail()
    execute("ALTER TABLE calls_ledger.requests DROP COLUMN holder")
    fail()
    execute("DROP SCHEMA calls_ledger CASCADE")
    fail()
    assert [type(error) for error in errors[::2]] == [BudgetSpent, SettingsError, SettingsError]
    texts += [f"{error!r} {error} {error.__context__!r} {error.__cause__!r}" for error in errors]
    assert not [text for text in texts if PASSWORD in text or KEY in text or HOST in text]


@pytest.mark.parametrize("statement", ["DROP SCHEMA calls_ledger CASCADE", "DROP TABLE calls_ledger.accounts CASCADE"])
def test_vanished_ledger_does_not_come_back_empty(url: str, statement: str) -> None:
    """A ledger dropped during a run is an error of that run, not a new budget."""
    budget = Budget(url, HOST, KEY, LIMITS)
    spend(budget, 1)
    execute(statement)
    for wrong in (budget.usage, lambda: spend(budget, 1)):
        with pytest.raises(SettingsError, match=r"gone or altered.* After a window without a request"):
            wrong()


def test_standby_is_refused_until_it_is_promoted(url: str) -> None:
    """A standby cannot hold the ledger, and the message says that it is one; once promoted, it goes on counting."""
    budget = Budget(url, HOST, KEY, LIMITS)
    spend(budget, 2)
    (server().pgdata / "standby.signal").touch()
    control_server("restart")
    for wrong in (lambda: Budget(url, HOST, KEY, LIMITS), lambda: spend(budget, 1)):
        with pytest.raises(SettingsError, match="Name the primary server"):
            wrong()
    assert budget.usage().used == 2
    control_server("promote")
    spend(budget, 2)
    assert budget.usage().used == 4


def test_ledger_locked_for_good_is_an_error(url: str) -> None:
    """If another program hangs in the middle of a write, a writer gives up and a reader answers at once."""
    spend(Budget(url, HOST, KEY, LIMITS), 1)
    storage = PostgresStorage(url, ACCOUNT, read_clock, write_timeout_seconds=0.3, read_timeout_seconds=0.3)
    ledger = Ledger(storage, ACCOUNT, hold_seconds=100, late_seconds=100)
    with held(TAKE_LOCK) as other, ending_after(5, other.connection):
        begun = time.monotonic()
        with pytest.raises(StoppedEarly, match="stays locked by another program"):
            ledger.reserve(lambda _: True)
        assert 0.3 <= time.monotonic() - begun < 5
        assert len(ledger.read().ages) == 1
    with (
        held("LOCK TABLE calls_ledger.requests") as other,
        ending_after(5, other.connection),
        pytest.raises(StoppedEarly, match="stays locked"),
    ):
        ledger.read()
    assert ledger.reserve(lambda _: True)[0] is not None


def test_ledger_stays_small(url: str) -> None:
    """Ended entries are removed: after many requests in short windows only one window's rows are left."""
    budget = Budget(url, HOST, KEY, Limits(requests=5, window_seconds=0.05, reserve_interactive=0))
    for _ in range(6):
        spend(budget, 5)
        time.sleep(0.06)
    spend(budget, 1)
    ((rows,),) = execute("SELECT count(*) FROM calls_ledger.requests")
    assert rows <= 5
