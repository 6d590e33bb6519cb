"""Dagster: the lists of each PBX as assets that `dagster_dlt` loads, and the marts as an asset built from them.

    dagster dev -m pipelines.deploy.dagster_assets     # in the folder that holds .dlt/

Turn on in Dagster the schedule `load_schedule`, and the automation that builds the marts once the loads have ended.

Data flow: PBX → calls/<pbx>/<list> (one op per PBX) → raw.* → calls/marts → the readers' copy
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    AssetSpec,
    AutomationCondition,
    Definitions,
    Failure,
    MaterializeResult,
    RetryRequested,
    ScheduleDefinition,
    asset,
    define_asset_job,
    in_process_executor,
)
from dagster_dlt import DagsterDltResource, DagsterDltTranslator, dlt_assets
from dagster_dlt.translator import DltResourceTranslatorData

from pipelines.errors import BudgetSpent, CallsError, PbxUnavailable, StoppedEarly
from pipelines.load.locks import hold_account
from pipelines.load.pipeline import load_errors
from pipelines.load.pipeline import pipeline as account_pipeline
from pipelines.nightly import build
from pipelines.publish import publish
from pipelines.voipcloud import voipcloud
from pipelines.warehouse import read_target

PBXS = ("main",)  # the names in [sources.voipcloud.accounts.<name>]; a PBX that is set up alone is `main`
DESTINATION = "duckdb"  # or postgres
RETRIES = 3
RETRY_SECONDS = 20 * 60


@dataclass
class PerPbx(DagsterDltTranslator):
    """Names each asset by its PBX. It has no asset upstream, because Dagster does not make calls."""

    pbx: str

    def get_asset_spec(self, data: DltResourceTranslatorData) -> AssetSpec:
        """The list as the asset `calls/<pbx>/<list>`."""
        spec = super().get_asset_spec(data)
        return spec.replace_attributes(key=["calls", self.pbx, data.resource.name], deps=[])


def load_assets(pbx: str) -> AssetsDefinition:
    """The lists of one PBX, loaded by one op because they share a budget."""
    source, pipeline = voipcloud(account=pbx), account_pipeline(pbx, DESTINATION)

    @dlt_assets(
        dlt_source=source,
        dlt_pipeline=pipeline,
        dagster_dlt_translator=PerPbx(pbx),
        name=f"load_{pbx}",
        group_name="raw",
    )
    def load(context: AssetExecutionContext, dlt: DagsterDltResource) -> Iterator[MaterializeResult]:
        os.umask(0o077)  # whatever is written holds calls: the user's alone
        lists = [key.path[-1] for key in context.selected_asset_keys]
        loaded: list[MaterializeResult] = []
        try:
            with hold_account(pbx), load_errors(read_target(DESTINATION)):
                while True:
                    # A copy for each run: dagster_dlt takes the columns out of the schema of the one that it has run.
                    loaded = list(dlt.run(context=context, dlt_source=source.with_resources(*lists)))
                    if source.outcome.error is not None or not source.outcome.has_more:
                        break
            error = source.outcome.error
        except CallsError as raised:
            error = raised
        yield from loaded  # also before an error: it is in the warehouse
        if error is not None:
            raise as_dagster(error) from error

    return load


def as_dagster(error: CallsError) -> Failure | RetryRequested:
    """A later try for what may pass by itself. Other errors need a person: a refused key, a wrong setting."""
    if not isinstance(error, StoppedEarly | PbxUnavailable):
        return Failure(str(error), allow_retries=False)
    until = error.until if isinstance(error, BudgetSpent) else time.time() + RETRY_SECONDS
    return RetryRequested(max_retries=RETRIES, seconds_to_wait=max(0.0, until - time.time()))


LOADS = [load_assets(pbx) for pbx in PBXS]


@asset(
    key=["calls", "marts"],
    group_name="marts",
    deps=[key for load in LOADS for key in load.keys],
    # Once no load is under way, also after one that failed: it does not keep back the others' numbers.
    automation_condition=AutomationCondition.eager().without(~AutomationCondition.any_deps_missing()),
)
def marts() -> MaterializeResult:
    """The marts, built over what was loaded, tested, and published for readers."""
    os.umask(0o077)
    warehouse = read_target(DESTINATION)
    build(warehouse, lambda *_: None)  # nobody watches its progress
    published = publish(warehouse)
    return MaterializeResult(metadata={"published": published.where, **published.rows})


nightly = define_asset_job("load", selection=[key for load in LOADS for key in load.keys])
defs = Definitions(
    assets=[*LOADS, marts],
    jobs=[nightly],
    schedules=[ScheduleDefinition(job=nightly, cron_schedule="15 2 * * *")],
    resources={"dlt": DagsterDltResource()},
    executor=in_process_executor,  # one step at a time: DuckDB lets one process write
)
