"""Airflow 3: a task for each PBX loads what is missing; then one builds the marts and publishes them.

Copy this file into the DAGs folder, and install call-warehouse where Airflow is. A worker runs in a folder of its own,
so it gets settings, keys and paths as environment variables: SOURCES__VOIPCLOUD__ACCOUNTS__<NAME>__BASE_URL and
…__API_KEY, DESTINATION__DUCKDB__CREDENTIALS, CALLS_HOME.

Data flow: PBX → load_<pbx> → raw.* → publish_marts → marts.*, the readers' copy
"""

import os
from datetime import datetime, timedelta

from airflow.sdk import dag, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException

PBXS = ("main",)  # the names in [sources.voipcloud.accounts.<name>]; a PBX that is set up alone is `main`
DESTINATION = "duckdb"  # or postgres


@task
def load(pbx: str) -> None:
    """Load what is missing from one PBX. After an error, what was read before it is in the warehouse.

    A spent budget or a PBX that is down is tried again. Other errors need a person: a refused key, a wrong setting.
    """
    from pipelines.errors import CallsError, PbxUnavailable, StoppedEarly
    from pipelines.load.locks import hold_account
    from pipelines.load.pipeline import load_errors
    from pipelines.load.pipeline import pipeline as account_pipeline
    from pipelines.voipcloud import voipcloud
    from pipelines.warehouse import read_target

    os.umask(0o077)  # whatever is written holds calls: the user's alone
    try:
        with hold_account(pbx), load_errors(read_target(DESTINATION)):
            source, pipeline = voipcloud(account=pbx), account_pipeline(pbx, DESTINATION)
            pipeline.drop()  # what a try that was killed left behind; the warehouse has the state
            while True:
                pipeline.run(source)
                if source.outcome.error is not None:
                    raise source.outcome.error
                if not source.outcome.has_more:
                    break
    except (StoppedEarly, PbxUnavailable) as error:
        raise AirflowException(str(error)) from None
    except CallsError as error:
        raise AirflowFailException(str(error)) from None


@task(trigger_rule="all_done")  # a PBX that could not be loaded does not keep back the others' numbers
def publish_marts() -> None:
    """Build the marts over what was loaded, test them, and publish them for readers."""
    from pipelines.nightly import build
    from pipelines.publish import publish
    from pipelines.warehouse import read_target

    os.umask(0o077)
    warehouse = read_target(DESTINATION)
    build(warehouse, lambda *_: None)  # nobody watches its progress
    publish(warehouse)


@task(trigger_rule="one_failed", retries=0)
def report_failure() -> None:
    """Fail the run if any task of it failed. Airflow judges a run by its last tasks alone."""
    raise AirflowFailException("A task of this run failed; its own log says why.")


@dag(
    dag_id="calls",
    schedule="15 2 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,  # a load reads whatever is missing, however old
    max_active_runs=1,
    max_active_tasks=1,  # DuckDB lets one process write; into postgres, one task per PBX can load at a time
    default_args={"retries": 3, "retry_delay": timedelta(minutes=20)},  # a spent budget is free again after 15
)
def calls() -> None:
    """Every night at 02:15 UTC."""
    loads = [load.override(task_id=f"load_{pbx}")(pbx) for pbx in PBXS]
    published = publish_marts()
    loads >> published
    [*loads, published] >> report_failure()


calls()
