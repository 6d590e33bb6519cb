"""A second build: what it looks at beside what was loaded since, told by hand-made rows."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random

from pipelines.transform import build_models, create_missing_raw, run_dbt
from tests.support.models_data import Row, random_day, store_accounts, store_days
from tests.support.models_warehouses import MODELS_ALONE, Warehouse, read_marts, statements

RELOADED = date(2026, 5, 20)
NIGHTS = [RELOADED + timedelta(days=n) for n in range(-8, 9)]


def visit(entered_at: datetime, seconds: int, status: str) -> Row:
    """One visit of the same caller on the same line."""
    ended_at = entered_at + timedelta(seconds=seconds)
    answered = status == "answered"
    return {
        "queue_name": "Sales",
        "callerid": "+61255500100",
        "inbound_number": "+61255500200",
        "call_start_at": entered_at,
        "call_answered_at": ended_at if answered else None,
        "call_finished_at": ended_at + timedelta(seconds=60) if answered else ended_at,
        "answered_by_user_name": "Ada" if answered else None,
        "status": status,
        "extra": None,
    }


def test_a_reload_leaves_journeys_over_midnight_whole(tmp_path: Path) -> None:
    """Whichever midnight near the reloaded day a journey crosses, the next build tells what a full refresh tells."""
    warehouse = Warehouse("duckdb", str(tmp_path / "warehouse.duckdb"))
    create_missing_raw(warehouse)
    days: dict[tuple[str, date], list[Row]] = {("main", day): [] for day in NIGHTS}
    for day in NIGHTS[:-1]:
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
        days["main", day].append(visit(midnight - timedelta(seconds=30), 28, "timedout"))
        days["main", day + timedelta(days=1)].append(visit(midnight + timedelta(seconds=2), 9, "answered"))
    with statements(warehouse) as execute:
        store_accounts(execute, {"main": "UTC"})
        store_days(execute, "queue_calls", days, datetime(2026, 6, 10, tzinfo=UTC))
    run_dbt(warehouse, tmp_path / "dbt", MODELS_ALONE)
    whole = read_marts(warehouse)["caller_journeys"]
    assert len(whole) == len(NIGHTS) - 1
    with statements(warehouse) as execute:
        again = {("main", RELOADED): days["main", RELOADED]}
        store_days(execute, "queue_calls", again, datetime(2026, 6, 11, tzinfo=UTC))
    run_dbt(warehouse, tmp_path / "dbt", MODELS_ALONE)
    assert read_marts(warehouse)["caller_journeys"] == whole


def test_a_full_refresh_looks_at_every_day(tmp_path: Path) -> None:
    """Also when nothing was loaded since: rows taken out of raw by hand are told of as restated."""
    warehouse, random, day = Warehouse("duckdb", str(tmp_path / "warehouse.duckdb")), Random(1), date(2026, 5, 20)
    create_missing_raw(warehouse)
    with statements(warehouse) as execute:
        store_accounts(execute, {"main": "UTC"})
        rows = [call for _ in range(9) for call in random_day(random, "queue_calls", day, 9)]
        store_days(execute, "queue_calls", {("main", day): rows}, datetime(2026, 6, 10, tzinfo=UTC))
    run_dbt(warehouse, tmp_path / "dbt", MODELS_ALONE)
    with statements(warehouse) as execute:
        execute("delete from raw.queue_calls where status = 'answered' and queue_name = 'Sales'")
    build_models(warehouse, tmp_path / "dbt", full_refresh=True)
    with statements(warehouse) as execute:
        assert execute("select queue_name, new_answered_count from marts.restatements") == [("Sales", 0)]
