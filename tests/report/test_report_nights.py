"""Hardly any calls, then another night: what the report says of the first, how `calls dashboard` shows the second."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from string import Template

import duckdb
import httpx
import pytest

from pipelines.report import write_report
from pipelines.warehouse import Target
from tests.support.browser import PHONE, open_page, start_browser
from tests.support.models_data import insert
from tests.support.report_data import publish_history, store_history
from tests.support.site import CALLS

LAST = date(2026, 3, 9)
NONE = "\N{EN DASH}"  # where nothing can be computed


def one_call(day: date, minute: int) -> dict[str, object]:
    """An abandoned call of a day."""
    start = datetime(day.year, day.month, day.day, 9, minute, tzinfo=UTC)
    call = {"account": "main", "call_day": day, "queue_name": "Sales", "callerid": f"+614915700{minute:02}"}
    times = {"call_start_at": start, "call_finished_at": start.replace(minute=minute + 1)}
    return call | {"inbound_number": "+61255500100", "status": "abandoned"} | times


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Target:
    """One call, two days before the last, published; and its report."""
    folder = tmp_path_factory.mktemp("dashboard")
    stored = store_history(
        folder / "warehouse.duckdb", last=LAST, days=5, calls_a_day=0, more=(one_call(date(2026, 3, 7), 1),)
    )
    publish_history(stored, folder / "dbt")
    write_report(stored)
    return stored


def start(target: Target, *arguments: str, **more: str) -> subprocess.Popen[str]:
    """`calls dashboard` in a process of its own."""
    environment = os.environ | {"DESTINATION__DUCKDB__CREDENTIALS": target.credentials} | more
    command = [CALLS, "dashboard", *arguments]
    return subprocess.Popen(
        command, cwd=target.path.parent, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@contextmanager
def serving(target: Target) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The dashboard under way, and its address."""
    process = start(target, "--port", "0")
    try:
        assert process.stderr
        said = process.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/", said)
        assert found, said + process.stderr.read()
        yield process, found[0]
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def address(target: Target) -> Iterator[str]:
    """Where it is served."""
    with serving(target) as (_, found):
        yield found


@pytest.mark.debian
def test_hardly_any_calls(target: Target, tmp_path: Path) -> None:
    """One call and none yesterday, or none at all: the page says so, and nothing in it breaks."""
    report, copy = target.path.parent / "published" / "report.html", tmp_path / "published" / "calls.duckdb"
    with start_browser() as browser, open_page(browser, report.as_uri(), PHONE) as seen:
        seen.wait()
        assert seen.texts("#tiles .value") == ["0", NONE, NONE, NONE, NONE, "0"]
        assert "No calls were offered on Monday, 9 March 2026." in " ".join(seen.texts(".notice"))
        assert [row[1] for row in seen.table("#summary")][:5] == ["1", "0", "1", "0", "100.0%"]
        assert seen.table("#callbacks")[0][0] == "…01"
        for period in ("day", "all"):
            seen.choose("main", period)
        assert seen.complaints == []
    copy.parent.mkdir()
    shutil.copy(report.with_name(copy.name), copy)
    with duckdb.connect(str(copy)) as connection:
        for (mart,) in connection.execute("select table_name from duckdb_tables()").fetchall():
            connection.execute(Template("truncate marts.$mart").substitute(mart=mart))
    empty = write_report(Target("duckdb", str(tmp_path / "warehouse.duckdb")))
    with start_browser() as browser, open_page(browser, empty.as_uri()) as seen:
        assert "nothing to report on" in " ".join(seen.texts(".notice"))
        assert not seen.page.is_visible("#figures")
        assert seen.complaints == []


@pytest.mark.debian
def test_a_new_night_is_shown(target: Target, address: str) -> None:
    """The page asks its own server alone, leaves the warehouse to the load, and shows the new night by itself."""
    with start_browser() as browser, open_page(browser, address) as seen:
        seen.wait()
        assert seen.texts("#tiles .value")[0] == "0"
        with duckdb.connect(target.credentials) as warehouse:  # nobody has it open
            insert(warehouse.execute, "queue_calls", [one_call(LAST, 7) | {"loaded_at": "2026-03-10 03:00:00+00"}])
            warehouse.execute("update raw.loaded_days set loaded_at = timestamptz '2026-03-10 03:00:00+00'")
        publish_history(target, target.path.parent / "dbt")
        seen.page.wait_for_function("() => document.querySelector('#tiles .value')?.textContent === '1'")
        assert {re.sub(r"(:\d+/).*", r"\1", asked) for asked in seen.requests} == {address}
        assert seen.complaints == []


def test_only_this_machine_may_look(address: str) -> None:
    """Another name in the Host header, as of a rebound domain, is refused; the page may not be framed or kept."""
    port = address.rstrip("/").rsplit(":", 1)[1]
    for host in (f"evil.example:{port}", "evil.example", f"127.0.0.1.evil.example:{port}", ""):
        assert httpx.get(address, headers={"Host": host}).status_code == 400, host
        assert httpx.get(f"{address}night", headers={"Host": host}).status_code == 400, host
    answer = httpx.get(address, headers={"Host": f"localhost:{port}"})
    assert answer.status_code == 200
    assert (answer.headers["x-frame-options"], answer.headers["cache-control"]) == ("DENY", "no-store")
    assert "access-control-allow-origin" not in answer.headers
    assert httpx.post(address).status_code == 405
    assert httpx.get(f"{address}calls.duckdb").status_code == 404


def test_nothing_published_any_more(target: Target, address: str) -> None:
    """While the published copy is gone, the answer says so and what to run; it is back as soon as the copy is."""
    copy = target.path.parent / "published" / "calls.duckdb"
    aside = copy.rename(copy.with_suffix(".aside"))
    answer = httpx.get(address)
    aside.rename(copy)
    assert (answer.status_code, "Nothing has been published yet" in answer.text) == (503, True)
    assert httpx.get(address).status_code == 200


def test_it_ends_on_ctrl_c(target: Target) -> None:
    """An interrupt ends it at once and cleanly, even while a page is being looked at."""
    with serving(target) as (process, address), httpx.Client() as client:
        assert client.get(address).status_code == 200
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
        assert (process.returncode, out, err) == (0, "", "")


def test_what_keeps_it_from_starting(target: Target, address: str, tmp_path: Path) -> None:
    """A taken port, nothing published, the extra not installed: each is said in a line, with what to do."""
    port = address.rstrip("/").rsplit(":", 1)[1]
    (tmp_path / "starlette").mkdir()
    (tmp_path / "starlette" / "__init__.py").write_text("raise ImportError('as if it were not there')")
    missing = Target("duckdb", str(tmp_path / "warehouse.duckdb"))
    for process, code, said in (
        (start(target, "--port", port), 2, f"Port {port} is taken. Choose another: --port"),
        (start(missing), 1, "Nothing has been published yet"),
        (start(target, PYTHONPATH=str(tmp_path)), 78, "pip install 'call-warehouse[dashboard]'"),
    ):
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (code, "")
        assert said in " ".join(err.split())
        assert "Traceback" not in err
