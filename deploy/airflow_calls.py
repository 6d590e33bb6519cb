"""An Airflow DAG: each PBX loads in a task of its own, on any worker, into Postgres; then one builds and publishes.

Settings and secrets reach the workers as environment variables, `SOURCES__VOIPCLOUD__ACCOUNTS__<NAME>__…`.
"""

from datetime import datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

PBXS = ["sydney", "leeds"]
CALLS = "cd /srv/call-warehouse && .venv/bin/calls"

with DAG(
    "calls",
    schedule="15 2 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,  # a load reads whatever is missing, however long ago
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=20)},
) as dag:
    build = BashOperator(
        task_id="build",
        bash_command=f"{CALLS} build --destination postgres && {CALLS} publish --destination postgres",
        trigger_rule="all_done",  # what one PBX could not load does not keep the others' numbers back
    )
    for pbx in PBXS:
        load = BashOperator(
            task_id=f"load_{pbx}",
            bash_command=f"{CALLS} load --account {pbx} --destination postgres --on-budget stop",
        )
        load >> build
