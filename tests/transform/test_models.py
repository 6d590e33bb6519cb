"""The models by themselves: their definitions, their questions, and how a build behaves, on both engines."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from string import Template

import duckdb
import orjson
import psycopg2.extensions
import pytest

from pipelines import transform as models
from pipelines.transform import (
    ModelResult,
    ModelsFailed,
    build_docs,
    build_models,
    create_missing_raw,
    run_dbt,
)
from tests.support.models_data import ENDPOINTS, ZONES, random_day, store_accounts, store_days, store_unplaced
from tests.support.models_warehouses import MARTS, Warehouse, empty_warehouse, statements

PASSWORD = "quite-secret-word"  # Postgres' own trust lets any in; it must show up nowhere


def with_password(warehouse: Warehouse) -> Warehouse:
    """The same Postgres, its URL holding a password."""
    parts = psycopg2.extensions.parse_dsn(warehouse.credentials)
    url = f"postgresql://{parts['user']}:{PASSWORD}@/{parts['dbname']}?host={parts['host']}"
    return Warehouse(warehouse.engine, url)


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Warehouse, Path]:
    """A warehouse with a fortnight of calls, not built yet, and dbt's folder."""
    folder, random = tmp_path_factory.mktemp(request.param), Random(3)
    empty = empty_warehouse(request.param, folder)
    warehouse = with_password(empty) if empty.engine == "postgres" else empty
    create_missing_raw(warehouse)
    with statements(warehouse) as execute:
        store_accounts(execute, ZONES)
        days = [(account, date(2026, 3, 28) + timedelta(days=n)) for account in ZONES for n in range(14)]
        for endpoint in ENDPOINTS:
            rows = {whose: random_day(random, endpoint, whose[1], 10) for whose in days}
            store_days(execute, endpoint, rows, datetime(2026, 4, 12, tzinfo=UTC))
            store_unplaced(execute, endpoint, ZONES, datetime(2026, 4, 12, tzinfo=UTC))
    return warehouse, folder / "dbt"


@pytest.fixture(scope="module")
def results(site: tuple[Warehouse, Path]) -> tuple[list[ModelResult], list[tuple[str, int, int]]]:
    """What the first build answered, and the progress it told, while this process had the warehouse open."""
    warehouse, work_dir = site
    told: list[tuple[str, int, int]] = []
    held = duckdb.connect(warehouse.credentials) if warehouse.engine == "duckdb" else None
    answered = build_models(warehouse, work_dir, on_progress=lambda *progress: told.append(progress))
    if held:
        held.close()
    return answered, told


Results = tuple[list[ModelResult], list[tuple[str, int, int]]]


def test_a_build_answers_a_row_a_model(site: tuple[Warehouse, Path], results: Results) -> None:
    """Every mart is among the results, with its rows, seconds and tests; progress is told to its end."""
    answered, told = {result.model: result for result in results[0]}, results[1]
    with statements(site[0]) as execute:
        for mart in (path.stem for path in MARTS.glob("*.sql")):
            assert answered[mart].rows == len(execute(f"table marts.{mart}"))
            assert answered[mart].tests_passed > 0
            assert answered[mart].seconds > 0
    assert answered["queue_calls"].rows
    assert answered["stg_voipcloud__queue_calls"].rows is None
    assert not any(result.tests_failed for result in results[0])
    assert [done for _, done, _ in told] == list(range(1, told[-1][2] + 1))
    assert len(told) > len(answered)


@pytest.mark.usefixtures("results")
def test_every_definition_holds(site: tuple[Warehouse, Path]) -> None:
    """Each unit test of the models (given rows, expected rows) passes."""
    assert len(run_dbt(*site, ["test", "--select", "test_type:unit"])) >= 39


@pytest.mark.usefixtures("results")
def test_every_worked_question_can_be_asked(site: tuple[Warehouse, Path]) -> None:
    """Each file of sql/analyses runs as it stands, and answers with rows."""
    warehouse, work_dir = site
    models.run_dbt(warehouse, work_dir, ["compile"])
    questions = sorted((work_dir / "target" / "compiled" / "calls" / "analyses").glob("*.sql"))
    with statements(warehouse) as execute:
        answers = {path.stem: len(execute(path.read_text())) for path in questions}
    assert len(answers) >= 12
    assert [name for name, rows in answers.items() if not rows] == []


@pytest.mark.usefixtures("results")
def test_a_failed_test_names_itself_and_is_made_up_for(site: tuple[Warehouse, Path]) -> None:
    """A mart's failing test stops the build by name, before its days count as built; the next build does them again."""
    warehouse, work_dir = site
    touch = Template("update raw.loaded_days set loaded_at = loaded_at + interval '1 day' where account = '$account'")
    built = "select min(loaded_at) from intermediate.int_days__built where account = 'kolkata'"
    with statements(warehouse) as execute:
        before = execute(built)
        execute(touch.substitute(account="kolkata"))
        execute("delete from marts.caller_journeys where account = 'sydney'")
    with pytest.raises(ModelsFailed, match="journeys_hold_every_visit"):
        build_models(warehouse, work_dir)
    with statements(warehouse) as execute:
        assert execute(built) == before
        execute(touch.substitute(account="sydney"))
    build_models(warehouse, work_dir)
    with statements(warehouse) as execute:
        assert execute(built) != before


@pytest.mark.usefixtures("results")
def test_nothing_is_kept_open_and_nothing_told(site: tuple[Warehouse, Path]) -> None:
    """After a build another process can open the warehouse; no password and no caller is in what dbt wrote down."""
    warehouse, work_dir = site
    if warehouse.engine == "duckdb":
        command = [sys.executable, "-c", "import duckdb, sys; duckdb.connect(sys.argv[1])", warehouse.credentials]
        assert subprocess.run(command, check=False).returncode == 0
    written = [path for path in work_dir.rglob("*") if path.is_file()]
    assert any(path.name == "dbt.log" for path in written)
    for path in written:
        told = path.read_bytes()
        assert PASSWORD.encode() not in told, path
        assert b"+61255500101" not in told, path
    assert not (models.PROJECT / "target").exists()
    assert not (models.PROJECT / "logs").exists()


@dataclass(frozen=True)
class Docs:
    """What `calls docs` wrote and said, and dbt's own folder of it."""

    page: Path
    said: str
    artifacts: Path


@pytest.fixture(scope="module")
def docs(site: tuple[Warehouse, Path], results: Results, tmp_path_factory: pytest.TempPathFactory) -> Docs:
    """The documentation of the warehouse, once built, written by the command."""
    assert results
    warehouse, folder = site[0], tmp_path_factory.mktemp("docs")
    home = {"CALLS_HOME": str(folder), f"DESTINATION__{warehouse.engine.upper()}__CREDENTIALS": warehouse.credentials}
    command = [str(Path(sys.executable).with_name("calls")), "docs", "--destination", warehouse.engine]
    ran = subprocess.run(command, cwd=folder, env=os.environ | home, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    beside = Path(warehouse.credentials).parent if warehouse.engine == "duckdb" else folder
    return Docs(beside / "published" / "docs.html", ran.stdout, folder / "dbt" / "target")


def test_the_documentation_is_one_private_file(docs: Docs) -> None:
    """The page holds descriptions, columns and lineage, loads nothing from anywhere, and is its owner's alone."""
    page, told = docs.page, docs.page.read_text()
    assert str(page) in docs.said
    assert "the list to call back" in told
    assert "answered within T / offered" in told
    assert '"model.calls.lost_calls": ["model.calls.int_accounts__loaded"' in told.replace("\n", "")
    assert not re.findall(r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=[\"']?(?:https?:)?//", told)
    assert page.stat().st_mode & 0o777 == 0o600
    assert page.parent.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in page.parent.iterdir()] == ["docs.html"]
    assert PASSWORD not in told
    assert not [place for place in (models.PROJECT.parent, docs.artifacts, Path.home()) if str(place) in told]


def test_everything_is_described(docs: Docs) -> None:
    """Each column that a mart, staging view or seed has in the warehouse is described, with its formula where a rate,
    its method where a percentile; and so is each model. The exposures name what the report and BI tools read."""
    found = {name: orjson.loads((docs.artifacts / f"{name}.json").read_bytes()) for name in ("manifest", "catalog")}
    undescribed, nodes = [], found["manifest"]["nodes"]
    for unique_id, node in nodes.items():
        if node["resource_type"] in {"model", "seed"}:
            described = {name: column["description"] for name, column in node["columns"].items()}
            there = found["catalog"]["nodes"][unique_id]["columns"] if node["schema"] != "intermediate" else {}
            undescribed += [f"{node['name']}.{name}" for name in there if not described.get(name, "").strip()]
            undescribed += [node["name"]] * (not node["description"])
            for name, text in described.items():
                assert not name.endswith("_rate") or re.search(r"/|0 to 1", text), (node["name"], name, text)
                assert not re.search(r"_p\d\d_", name) or "percentile_cont" in text, (node["name"], name, text)
    assert undescribed == []
    marts = {
        unique_id
        for unique_id in nodes
        if unique_id in found["catalog"]["nodes"] and nodes[unique_id]["schema"] == "marts"
    }
    exposures = {one["name"]: set(one["depends_on"]["nodes"]) for one in found["manifest"]["exposures"].values()}
    assert len(marts) == len(list(MARTS.glob("*.sql")))
    assert exposures["published_copy"] == marts
    assert exposures["report"] < marts
    assert exposures["report"]


def test_nothing_to_describe(tmp_path: Path) -> None:
    """Before the first build there is nothing to describe, and the way to it is told."""
    with pytest.raises(ModelsFailed, match="calls build"):
        build_docs(Warehouse("duckdb", str(tmp_path / "empty.duckdb")), tmp_path, tmp_path)
