"""The Airflow DAG, read and run by Airflow itself, in `.venv-airflow`, against the simulated PBX over HTTP."""

import json
from collections.abc import Callable, Mapping

import duckdb
import pytest

from tests.support.schedulers import assert_loaded, assert_no_secrets, edited, run_in, small_pbx
from tests.support.site import Ran, Site

pytestmark = pytest.mark.deploy
MakeSite = Callable[..., Site]
DAY = "2026-01-02"
# Reads the DAG as Airflow does, and prints the tasks and whether that brought in the packages that only tasks need.
IMPORTED = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag("dags")
ours = {"dlt", "pipelines"} & set(sys.modules)
print(json.dumps([bag.import_errors, sorted(bag.dags["calls"].task_ids), sorted(ours)]))
"""


def airflow(site: Site, *arguments: str, command: str = "airflow") -> Ran:
    """A command of Airflow's, with its own records in `site.folder / "airflow"` and its usage reports off."""
    home = site.folder / "airflow"
    variables = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(site.folder / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    return run_in("airflow", command, *arguments, folder=site.folder, variables=variables)


def install(site: Site, replacements: Mapping[str, str] = {}) -> None:
    """A new Airflow that has the DAG, as a user edits it."""
    dags = site.folder / "dags"
    dags.mkdir()
    (dags / "calls.py").write_text(edited("airflow_dag.py", replacements))
    ran = airflow(site, "db", "migrate")
    assert ran.code == 0, ran.err


def run_dag(site: Site, day: str = DAY) -> Ran:
    """One run of the DAG, with its retries and their delays."""
    return airflow(site, "dags", "test", "calls", day)


def states(site: Site, day: str = DAY) -> dict[str, str]:
    """How each task of a day's run ended."""
    ran = airflow(site, "tasks", "states-for-dag-run", "calls", day, "--output", "json")
    assert ran.code == 0, ran.err
    return {task["task_id"]: task["state"] for task in json.loads(ran.out[ran.out.index("[{") :])}


def test_reading_the_dag_imports_none_of_ours(make_site: MakeSite) -> None:
    """Airflow reads the file without an error, and without importing dlt or this project."""
    site = make_site()
    install(site)
    ran = airflow(site, "-c", IMPORTED, command="python")
    assert ran.code == 0, ran.err
    errors, tasks, imported = json.loads(ran.out.splitlines()[-1])
    assert (errors, tasks, imported) == ({}, ["load_main", "publish_marts", "report_failure"], [])


def test_two_nights(make_site: MakeSite) -> None:
    """A run loads every record, builds the marts and publishes them, for their owner alone; a second doubles none.

    Neither key nor numbers get into Airflow's records.
    """
    site = make_site(small_pbx())
    install(site)
    ran = run_dag(site)
    assert states(site) == {"load_main": "success", "publish_marts": "success", "report_failure": "skipped"}, ran.out
    assert_loaded(site)
    calls = sum(len(site.query(f"from raw.{name}")) for name in ("queue_calls", "ringgroup_calls"))
    assert calls > 100
    with duckdb.connect(str(site.folder / "published" / "calls.duckdb"), read_only=True) as marts:
        assert marts.execute("select count(*) from marts.queue_calls").fetchone() == (calls,)
    assert [path.name for path in site.folder.glob("**/*.duckdb") if path.stat().st_mode & 0o077] == []

    again = run_dag(site, "2026-01-03")
    assert states(site, "2026-01-03")["load_main"] == "success"
    assert_loaded(site)
    assert_no_secrets(site.pbx, [site.folder / "airflow"], ran.out, ran.err, again.out, again.err)


def test_a_spent_budget_is_waited_for(make_site: MakeSite) -> None:
    """Where the budget ends, the task keeps what it has, and a later try reads the rest.

    The budget is for the three lists, and another program has just used a part of it.
    """
    settings = {"budget.requests": "3", "budget.window_seconds": "40", "budget.reserve_interactive": "0"}
    site = make_site(small_pbx(), settings=settings)
    install(site, {"timedelta(minutes=20)": "timedelta(seconds=41)"})
    assert site.run("system-status").code == 0
    ran = run_dag(site)
    assert states(site)["load_main"] == "success", ran.out
    assert_loaded(site)
    assert "The request budget is spent" in ran.out
    assert site.pbx.most_in_window(40) <= 3


def test_a_refused_key_needs_a_person(make_site: MakeSite) -> None:
    """The task fails with the error's own text, and without the retry that would come after 20 minutes.

    The other PBX is loaded and published.
    """
    site = make_site(small_pbx("leeds"), small_pbx("sydney", seed=1))
    site.set_setting("accounts.leeds.api_key", "another-key-4b1f")
    install(site, {'PBXS = ("main",)': 'PBXS = ("leeds", "sydney")'})
    ran = run_dag(site)
    assert states(site) == {
        "load_leeds": "failed",
        "load_sydney": "success",
        "publish_marts": "success",
        "report_failure": "failed",
    }, ran.out
    assert "refused the request (401)" in ran.out
    assert_loaded(site, "sydney")
    assert_no_secrets(site.pbx, [site.folder / "airflow"], ran.out, ran.err)
    assert "another-key-4b1f" not in ran.out + ran.err
