"""Postgres does what DuckDB does: load, build, publish. Its readers see whole marts, and nothing else."""

import os
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest

from pipelines.sandbox.account import Account
from pipelines.sandbox.callcentre import CallCentre, simulate
from pipelines.transform import build_models, create_missing_raw, run_dbt
from pipelines.warehouse import Target
from pipelines.warehouse.postgres import as_credentials, hold
from tests.support.browser import Seen, open_page, start_browser
from tests.support.models_warehouses import Warehouse
from tests.support.postgres_server import ask
from tests.support.postgres_site import assert_truth_in, read_marts, url
from tests.support.site import Site, queue_call, ringgroup_call, user_call

__all__ = ["url"]  # a fixture

MakeSite = Callable[..., Site]
TONIGHT = ("run", "--destination", "postgres")
PRIVATE = ("raw.queue_calls", "staging.stg_voipcloud__queue_calls", "intermediate.int_days__built", "seeds.holidays")


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """A PBX with a week of a small call centre."""
    first = datetime.now(UTC).date() - timedelta(days=7)
    return make_site(Account("key", simulate(CallCentre(first_day=first, days=7, calls_per_day=60))))


def both_marts(site: Site, url: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The marts of the same calls in DuckDB and in Postgres."""
    return read_marts(Warehouse("duckdb", str(site.warehouse))), read_marts(Warehouse("postgres", url))


def test_two_nights(site: Site, url: str) -> None:
    """After a night, `raw` is the truth, the marts equal DuckDB's, and what dashboards filter by is indexed; so again
    after a night with new calls, and with one that moved to another queue and so left a day of its queue empty."""
    noon = datetime.now(UTC).replace(hour=1, minute=0, second=0, microsecond=0) - timedelta(days=1)
    site.pbx.insert("ringgroup_calls", ringgroup_call(noon, callerid=""), ringgroup_call(noon, callerid=""))
    site.pbx.insert("queue_calls", queue_call(noon, queue_name='Süd, "a"\n\\x; drop', status=None), queue_call(noon))
    for ran in (site.run(*TONIGHT), site.run("run")):
        assert ran.code == 0, ran.err
    assert_truth_in(url, site)
    duckdb, postgres = both_marts(site, url)
    assert len(duckdb["queue_calls"]) > 100
    assert postgres == duckdb
    assert_indexed(url)
    site.pbx.replace("queue_calls", 3, queue_call(noon + timedelta(hours=2), queue_name="moved"))
    site.pbx.insert("user_calls", user_call(noon), user_call(noon + timedelta(hours=1)))
    for ran in (site.run(*TONIGHT), site.run("run")):
        assert ran.code == 0, ran.err
    assert_truth_in(url, site)
    duckdb, postgres = both_marts(site, url)
    assert postgres == duckdb


def test_readers_read_marts_and_nothing_else(site: Site, url: str) -> None:
    """A login with the role reads every mart, also after all were built anew, and is refused everything else.
    Publishing again changes nothing."""
    assert site.run(*TONIGHT).code == 0
    ask(url, "create role ann login in role bi_reader")
    ann = url.replace("//postgres:@", "//ann:@")
    for again in (("publish", "--destination", "postgres"), ("build", "--full-refresh", "--destination", "postgres")):
        for (mart,) in ask(url, "select tablename from pg_tables where schemaname = 'marts'"):
            assert ask(ann, f"select count(*) from marts.{mart}"), mart  # noqa: S608
        for name in PRIVATE:
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                ask(ann, f"select * from {name}")  # noqa: S608
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            ask(ann, "delete from marts.queue_days")
        assert site.run(*again).code == 0
    assert ask(ann, "select count(*) from marts.load_health") == [(3,)]


def test_a_login_that_may_not_make_roles(site: Site, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the login may not make the role, the marts are built, and the message has the statement that solves it."""
    database = url.split("@/")[1].partition("?")[0]
    ask(url, "create role loader login", f"grant create on database {database} to loader")
    if ask(url, "select 1 from pg_roles where rolname = 'bi_reader'"):  # left by earlier tests
        ask(url, "alter role bi_reader rename to bi_reader_before")
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", url.replace("//postgres:@", "//loader:@"))
    night = site.run(*TONIGHT)
    assert night.code == 78
    assert "create role bi_reader;" in night.err
    ask(url, "create role bi_reader")
    assert site.run("publish", "--destination", "postgres").code == 0
    ask(url, "alter schema marts owner to postgres", "grant usage, create on schema marts to loader")
    assert site.run(*TONIGHT).code == 0


@pytest.mark.debian
def test_the_live_page_shows_a_new_night(site: Site, url: str) -> None:
    """`calls dashboard` on Postgres: the page shows the marts, and reloads itself once the next night is published."""

    def offered(seen: Seen) -> int:
        seen.choose("main", "all")
        return int(seen.table("#summary")[0][1].replace(",", ""))

    assert site.run(*TONIGHT).code == 0
    process = site.start("dashboard", "--destination", "postgres", "--port", "0")
    try:
        assert process.stderr
        address = re.findall(r"http://127\.0\.0\.1:\d+/", process.stderr.readline())[0]
        with start_browser() as browser, open_page(browser, address) as seen:
            seen.wait()
            before = offered(seen)
            assert [(before,)] == ask(url, "select sum(offered_count) from marts.queue_days")
            seen.page.evaluate("window.isOld = true")
            site.pbx.insert("queue_calls", queue_call(datetime.now(UTC) - timedelta(days=1)))
            assert site.run("load", "--destination", "postgres").code == 0
            assert site.run("build", "--destination", "postgres").code == 0
            seen.page.wait_for_timeout(5000)  # longer than the page waits before it asks again: built is not published
            assert seen.page.evaluate("window.isOld") is True
            assert site.run("publish", "--destination", "postgres").code == 0
            seen.page.wait_for_function("() => !window.isOld")
            seen.wait()
            assert offered(seen) == before + 1
            assert seen.complaints == []
    finally:
        process.kill()
        process.communicate()


def assert_indexed(url: str) -> None:
    """Every mart with a date has an index by account and date, and `raw` has one by account and day."""
    indexed = {
        (schema, table)
        for schema, table, definition in ask(url, "select schemaname, tablename, indexdef from pg_indexes")
        if "(account, " in definition
    }
    by_date = ask(
        url,
        "select table_schema, table_name from information_schema.columns where table_schema = 'marts' "
        "and column_name in ('account', 'local_date', 'week_start_date', 'month_start_date') group by 1, 2 "
        "having bool_or(column_name = 'account') and count(*) > 1",
    )
    assert len(by_date) > 8
    assert {row for row in by_date if row not in indexed} == set()
    assert {("raw", name) for name in ("user_calls", "queue_calls", "ringgroup_calls")} <= indexed


@pytest.mark.soak
def test_a_night_costs_its_days_and_not_the_history(site: Site, url: str) -> None:
    """In a long history, a night finds its days by index: the statement that deletes them before they are loaded again
    never scans the table, with the settings of dlt's connections."""
    assert site.run("load", "--destination", "postgres").code == 0
    ask(
        url,
        "create table raw.many as select * from raw.queue_calls limit 200",
        "insert into raw.queue_calls select (jsonb_populate_record(many, jsonb_build_object('call_day', "
        "date '2020-01-01' + n / 2))).* from raw.many as many cross join generate_series(1, 1500) as n",
        "analyze raw.queue_calls",
        "create table raw.night as select account, call_day from raw.queue_calls where call_day < '2020-01-03'",
    )
    delete = (
        "explain delete from raw.queue_calls as stored where exists (select 1 from raw.night as night "
        "where night.account = stored.account and night.call_day = stored.call_day)"
    )
    as_dlt = as_credentials(url).to_native_representation()
    assert "queue_calls_by_day" in str(ask(as_dlt, delete))
    assert "queue_calls_by_day" not in str(ask(url, delete))


@pytest.mark.soak
def test_no_mart_is_seen_half_built(site: Site, url: str, tmp_path: Any) -> None:
    """During an incremental build and a full one, a reader sees each mart whole, as it was or as it is, and is never
    refused."""
    assert site.run("load", "--destination", "postgres").code == 0
    target = Target("postgres", url)
    build_models(target, tmp_path / "dbt")
    marts = [name for (name,) in ask(url, "select tablename from pg_tables where schemaname = 'marts'")]
    assert len(marts) > 10
    # One more row in each day, so that old and new differ; every mart's sums are taken before and after.
    states = [sums(url, marts)]
    seen: list[dict[str, Any]] = []
    for full_refresh in (False, True):
        add_calls(url)
        with polling(url, marts, seen):
            build_models(target, tmp_path / "dbt", full_refresh=full_refresh)
        states.append(sums(url, marts))
    assert len(seen) > 20
    for mart in marts:
        whole = {state[mart] for state in states}
        assert {look[mart] for look in seen} <= whole, mart
    assert len({state["queue_calls"] for state in states}) == 3


def test_one_builds_at_a_time(site: Site, url: str) -> None:
    """While another host builds, a night loads and ends with 75; once that build has ended, the next one builds."""
    with hold(url, "build", wait=False):
        second = site.run(*TONIGHT)
    assert second.code == 75
    assert "Another run is building" in second.err
    assert_truth_in(url, site)
    for step in ("build", "publish"):  # at once, one after the other
        assert site.run(step, "--destination", "postgres").code == 0


def test_the_url_holds_for_the_models_too(url: str, tmp_path: Any) -> None:
    """The `sslmode` of a Postgres URL holds for dbt's connections too, and for no later ones."""
    modes = set()
    target = Target("postgres", url + "&sslmode=prefer")
    create_missing_raw(target)
    one = ("run", "--select", "stg_voipcloud__accounts")
    run_dbt(target, tmp_path / "dbt", one, on_progress=lambda *_: modes.add(os.environ.get("PGSSLMODE")))
    assert modes == {"prefer"}
    assert "PGSSLMODE" not in os.environ


def add_calls(url: str) -> None:
    """Add each queue call of the last days once more, as a load of those days would."""
    ask(
        url,
        "insert into raw.queue_calls select * from raw.queue_calls where call_day >= current_date - 3",
        "update raw.loaded_days set loaded_at = loaded_at + interval '1 hour' where call_day >= current_date - 3",
    )


def sums(url: str, marts: list[str]) -> dict[str, Any]:
    """Each mart's rows in one number, which every difference changes."""
    return {
        mart: ask(url, f"select count(*), sum(hashtextextended(m::text, 0)::numeric) from marts.{mart} m")[0]  # noqa: S608
        for mart in marts
    }


class polling:
    """A reader that reads every mart, again and again, until the end."""

    def __init__(self, url: str, marts: list[str], seen: list[dict[str, Any]]) -> None:
        self._end, self._errors = threading.Event(), list[Exception]()
        self._thread = threading.Thread(target=self._look, args=(url, marts, seen))

    def _look(self, url: str, marts: list[str], seen: list[dict[str, Any]]) -> None:
        try:
            while not self._end.is_set():
                seen.append(sums(url, marts))
        except psycopg2.Error as error:
            self._errors.append(error)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        assert self._errors == []
