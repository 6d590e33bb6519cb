"""The models can be taken to other warehouses: nothing that one engine alone has slips in."""

import logging
from typing import NamedTuple

import pytest
import sqlglot
from sqlglot import ErrorLevel, exp
from sqlglot.errors import UnsupportedError

from pipelines.transform import create_missing_raw, run_dbt
from tests.support.models_warehouses import empty_warehouse

# What sqlglot will not write for a dialect, with the reason why it may stand.
TOLERATED = {
    "bigquery": (
        "NULLS LAST",  # what is sorted by is never null, or nulls are left out before
        "Named columns",  # of generate_series: BigQuery's GENERATE_DATE_ARRAY needs a macro of its own
    ),
}
DIALECTS = ("snowflake", "bigquery", "spark", "databricks", "clickhouse")


class Model(NamedTuple):
    """A model as dbt compiles it for Postgres."""

    name: str
    sql: str


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Model]:
    """All of them, compiled."""
    work = tmp_path_factory.mktemp("compiled")
    warehouse = empty_warehouse("postgres", work)
    create_missing_raw(warehouse)
    run_dbt(warehouse, work, ["compile"])
    return [
        Model(path.stem, path.read_text())
        for path in sorted((work / "target" / "compiled").glob("*/models/**/*.sql"))
        if path.is_file() and not any(part.endswith(".yml") for part in path.parts)
    ]


def parse(model: Model) -> exp.Expr:
    """Strictly: what sqlglot only half understands is an error."""
    return sqlglot.parse_one(model.sql, read="postgres", error_level=ErrorLevel.RAISE)


def test_models_are_standard(models: list[Model]) -> None:
    """Every model is read strictly, and calls no function but those sqlglot knows in many engines."""
    assert len(models) > 30
    unknown = {
        (model.name, function.name.lower()) for model in models for function in parse(model).find_all(exp.Anonymous)
    }
    assert unknown == set()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_models_can_be_written_for(models: list[Model], dialect: str, caplog: pytest.LogCaptureFixture) -> None:
    """Every model can be written in the dialect, and read back, but for what is tolerated for a reason."""
    caplog.set_level(logging.CRITICAL)
    refused = {}
    for model in models:
        parsed = parse(model)
        try:
            written = parsed.sql(dialect, unsupported_level=ErrorLevel.RAISE, max_unsupported=99)
        except UnsupportedError as error:
            reasons = [line for line in str(error).splitlines() if line.strip()]
            refused[model.name] = [line for line in reasons if not any(t in line for t in TOLERATED.get(dialect, ()))]
            written = parsed.sql(dialect, unsupported_level=ErrorLevel.IGNORE)
        sqlglot.parse_one(written, read=dialect, error_level=ErrorLevel.RAISE)
    assert {name: lines for name, lines in refused.items() if lines} == {}
