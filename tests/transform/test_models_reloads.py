"""Builds that follow what was reloaded: on both engines, whatever the order, as if everything had been built anew."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from pipelines.transform import ModelsFailed, build_models, create_missing_raw, run_dbt
from tests.support.models_data import (
    DELETE,
    ENDPOINTS,
    ZONES,
    Execute,
    random_day,
    store_accounts,
    store_days,
    store_unplaced,
)
from tests.support.models_warehouses import MODELS_ALONE, Snapshot, Warehouse, empty_warehouse, read_marts, statements

# Accounts do not touch each other, so each is a sequence of reloads of its own.
ACCOUNTS = {f"{name}_{number}": zone for name, zone in ZONES.items() for number in range(4)}
DAYS = [date(2026, 3, 29) + timedelta(days=n) for n in range(14)] + [
    date(2025, 9, 30) + timedelta(days=n) for n in range(8)
]
BUILDS = 3
FIRST_LOAD = datetime(
    2026, 4, 8, 3, tzinfo=UTC
)  # in the middle of the newest days, so that some are published unfinished


def reload(execute: Execute, random: Random, loaded_at: datetime, days_each: int, share: float) -> None:
    """Load a `share` of some days of each account again: other calls, fewer, or none."""
    sampled = [(account, day) for account in ACCOUNTS for day in random.sample(DAYS, days_each)]
    for endpoint in ENDPOINTS:
        loaded = [whose for whose in sampled if random.random() < share]
        store_days(execute, endpoint, {whose: random_day(random, endpoint, whose[1], 8) for whose in loaded}, loaded_at)
        store_unplaced(execute, endpoint, ACCOUNTS, loaded_at)


def build_in_steps(warehouse: Warehouse, work_dir: Path, seed: int) -> None:
    """A first build, then `BUILDS` nights of reloads, one of which fails, moves an account and loses days."""
    random, loaded_at = Random(seed), FIRST_LOAD
    create_missing_raw(warehouse)
    with statements(warehouse) as execute:
        store_accounts(execute, ACCOUNTS)
        reload(execute, random, loaded_at, len(DAYS), 0.9)
    run_dbt(warehouse, work_dir, MODELS_ALONE)
    for night in range(BUILDS):
        loaded_at += timedelta(hours=random.choice([20, 24, 90]))
        with statements(warehouse) as execute:
            reload(execute, random, loaded_at, 1 + night, 0.6)
            if night == 1:
                for table in (*ENDPOINTS, "loaded_days"):
                    execute(DELETE.substitute(table=table, which=f"('sydney_1', date '{DAYS[2]}')"))
                store_accounts(execute, ACCOUNTS | {"sydney_0": "America/St_Johns"})
                execute("delete from raw.accounts where account = 'kolkata_0'")
        if night == 1:
            with pytest.raises(ModelsFailed, match="accounts_are_known"):
                build_models(warehouse, work_dir)
            with statements(warehouse) as execute:
                store_accounts(execute, ACCOUNTS | {"sydney_0": "America/St_Johns"})
            build_models(warehouse, work_dir)
        else:
            run_dbt(warehouse, work_dir, ["run"])


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Warehouse, Path]:
    """A warehouse built in steps, and dbt's folder."""
    folder = tmp_path_factory.mktemp(request.param)
    warehouse = empty_warehouse(request.param, folder)
    build_in_steps(warehouse, folder / "dbt", seed=7)
    return warehouse, folder / "dbt"


@pytest.fixture(scope="module")
def snapshots() -> dict[str, Snapshot]:
    """What each engine's marts held, kept for the comparison between the two."""
    return {}


def test_restatements_end_with_what_the_days_hold(built: tuple[Warehouse, Path]) -> None:
    """The last restated figures of each day are those of queue_days, zeros where the day has no calls any more."""
    with statements(built[0]) as execute:
        count, wrong, vanished = execute(
            """
            select
                count(*),
                count(*) filter (
                    where restated.new_offered_count <> coalesce(days.offered_count, 0)
                    or restated.new_answered_count <> coalesce(days.answered_count, 0)
                    or restated.new_abandoned_count <> coalesce(days.abandoned_count, 0)
                ),
                count(*) filter (where days.account is null)
            from (
                select *, max(restatement_number) over (
                    partition by account, queue_kind, queue_name, local_date
                ) as last_number
                from marts.restatements
            ) as restated
            left join marts.queue_days as days
                on restated.account = days.account and restated.queue_kind = days.queue_kind
                and restated.queue_name = days.queue_name and restated.local_date = days.local_date
            where restated.restatement_number = restated.last_number
            """
        )[0]
    assert count > 50
    assert vanished > 0
    assert wrong == 0


def test_reloads_in_any_order_equal_a_full_refresh(
    built: tuple[Warehouse, Path], snapshots: dict[str, Snapshot]
) -> None:
    """After nights of reloads, with a failed build among them, every mart is what a full refresh makes of raw."""
    warehouse, work_dir = built
    in_steps = read_marts(warehouse)
    run_dbt(warehouse, work_dir, ["run", "--full-refresh"])
    anew = read_marts(warehouse)
    snapshots[warehouse.engine] = anew
    assert all(len(rows) > 10 for rows in anew.values()), {mart: len(rows) for mart, rows in anew.items()}
    assert [mart for mart in anew if in_steps[mart] != anew[mart]] == []


def test_both_engines_hold_the_same_rows(snapshots: dict[str, Snapshot]) -> None:
    """DuckDB's and Postgres' marts, restatements included, are equal row by row after the same nights."""
    duckdb, postgres = snapshots["duckdb"], snapshots["postgres"]
    assert [mart for mart in duckdb if duckdb[mart] != postgres[mart]] == []
