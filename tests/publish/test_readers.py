"""The readers: an older DuckDB as BI tools bundle it, SQLAlchemy, psycopg, pandas, Polars, Excel.

`make test` installs them in `.venv-readers`, apart from the project.
"""

import json
import re
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.sandbox.account import Account
from pipelines.sandbox.callcentre import CallCentre, simulate
from tests.support import night
from tests.support.postgres_server import ask
from tests.support.postgres_site import url
from tests.support.site import Ran, Site, queue_call

__all__ = ["url"]  # a fixture

MakeSite = Callable[..., Site]
ROOT = Path(__file__).parents[2]
READER = (str(ROOT / ".venv-readers" / "bin" / "python"), str(ROOT / "tests" / "support" / "read_old.py"))
QUERIES = "".join(re.findall(r"```sql\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL))


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """A PBX with the last five days of a small call centre."""
    first = datetime.now(UTC).date() - timedelta(days=5)
    return make_site(Account("key", simulate(CallCentre(first_day=first, days=6, calls_per_day=60))))


def read(*arguments: str, typed: str = "") -> Any:
    """What a reader found, as JSON."""
    ran = subprocess.run([*READER, *arguments], input=typed, capture_output=True, text=True, check=False, timeout=300)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_readers_of_the_copy(site: Site, tmp_path: Path) -> None:
    """DuckDB 1.1 reads every row of every mart. SQLAlchemy runs the README's queries on it. pandas, Polars and Excel
    get all rows of the Parquet copies."""
    assert (
        subprocess.run([READER[0], "-c", "import duckdb; assert duckdb.__version__ < '1.2'"], check=False).returncode
        == 0
    )
    ran = site.run("run", "--json")
    assert ran.code == 0, ran.err
    published = json.loads(ran.out)["published"]
    copy = site.folder / "published" / "calls.duckdb"
    assert {name: int(rows) for name, (rows, _) in read("sums", str(copy)).items()} == published["rows"]
    assert published["rows"]["queue_calls"] > 100
    assert published["rows"]["load_health"] >= 2
    assert all(read("query", f"duckdb:///{copy}", typed=QUERIES))
    tables = read("tables", str(copy.with_name("parquet")), str(tmp_path))
    assert tables == {name: [published["rows"][name]] * 3 for name in ("queue_days", "lost_calls")}


def test_psycopg(site: Site, url: str) -> None:
    """psycopg runs the README's queries on Postgres, with a login that has the readers' role."""
    ran = site.run("run", "--destination", "postgres")
    assert ran.code == 0, ran.err
    ask(url, "create role ada login in role bi_reader")
    assert all(read("postgres", url.replace("//postgres:@", "//ada:@"), typed=QUERIES))


def test_a_reader_through_a_night_and_failed_builds(site: Site) -> None:
    """Without a build there is nothing to publish. A reader that has the copy open sees it unchanged through a night,
    and blocks nothing; the next one to connect sees the new copy. After a failed or killed build, publishing is refused
    and the copy stays; after the next good build it is published."""
    copy = site.folder / "published" / "calls.duckdb"
    assert site.load().error is None
    assert_refused(site.run("publish"), "no marts to publish yet")
    assert site.run("run").code == 0
    before = read("sums", str(copy))
    with subprocess.Popen(
        [*READER, "hold", str(copy)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as held:
        assert look(held) == before
        now = datetime.now(UTC).replace(microsecond=0)
        site.pbx.insert("queue_calls", *(queue_call(now - timedelta(hours=n), queue_name="new") for n in (2, 3, 30)))
        assert site.run("run").code == 0
        after = read("sums", str(copy))
        assert look(held) == before
        assert int(after["queue_calls"][0]) == int(before["queue_calls"][0]) + 3
        held.communicate()
    with duckdb.connect(str(site.warehouse)) as warehouse:  # calls of an unknown account
        warehouse.execute(
            "insert into raw.queue_calls by name select * replace ('ghost' as account) from raw.queue_calls;"
            "insert into raw.loaded_days by name select * replace ('ghost' as account) from raw.loaded_days"
        )
    assert site.run("build").code == 1
    assert_refused(site.run("publish"), "failed or was cut short")
    assert read("sums", str(copy)) == after
    with duckdb.connect(str(site.warehouse)) as warehouse:
        for table in ("queue_calls", "loaded_days"):
            warehouse.execute(f"delete from raw.{table} where account = 'ghost'")  # noqa: S608
    assert night.run(site, "build", before=night.die_at(r"sql .*queue_days")).code < 0
    assert_refused(site.run("publish"), "failed or was cut short")
    assert read("sums", str(copy)) == after
    assert site.run("build").code == 0
    assert site.run("publish").code == 0
    assert read("sums", str(copy))["queue_calls"] == after["queue_calls"]


def look(held: "subprocess.Popen[str]") -> Any:
    """What a reader that has the copy open sees now."""
    assert held.stdin
    assert held.stdout
    held.stdin.write("\n")
    held.stdin.flush()
    return json.loads(held.stdout.readline())


def assert_refused(ran: Ran, why: str) -> None:
    """Publishing ended with 1, a reason and what to do."""
    assert ran.code == 1
    assert why in ran.err
    assert "calls build" in ran.err
