"""Runs in `.venv-dagster`, for tests/deploy/test_dagster.py: `night FILE` or `events FILE`, FILE holding the assets.

`night` runs the job that the schedule starts, and prints the assets that the automation asks for afterwards. `events`
prints what Dagster has recorded in the meantime: each materialization (asset, rows loaded), each retry (seconds).
"""

import importlib.util
import json
import sys
from typing import Any

from dagster import DagsterEventType, DagsterInstance, Definitions, evaluate_automation_conditions


def load_definitions(path: str) -> Definitions:
    """The assets in a file."""
    spec = importlib.util.spec_from_file_location("assets", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["assets"] = module
    spec.loader.exec_module(module)
    return module.defs


def run_night(defs: Definitions, instance: DagsterInstance) -> dict[str, Any]:
    """Whether the job succeeded, and the assets that the automation then asks for."""
    before = evaluate_automation_conditions(defs, instance)
    ran = defs.resolve_job_def("load").execute_in_process(instance=instance, raise_on_error=False)
    after = evaluate_automation_conditions(defs, instance, cursor=before.cursor)
    asked = ["/".join(found.key.path) for found in after.results if found.true_subset.size]
    return {"success": ran.success, "asked": asked}


def read_events(instance: DagsterInstance) -> dict[str, Any]:
    """Every materialization and every retry, in order."""
    events = [
        record.dagster_event
        for run in reversed(instance.get_runs())
        for record in instance.all_logs(run.run_id)
        if record.dagster_event is not None
    ]
    made = [
        event.step_materialization_data.materialization
        for event in events
        if event.event_type == DagsterEventType.ASSET_MATERIALIZATION
    ]
    retries = [event for event in events if event.event_type == DagsterEventType.STEP_UP_FOR_RETRY]
    return {
        "materialized": [
            ["/".join(m.asset_key.path), getattr(m.metadata.get("rows_loaded"), "value", 0)] for m in made
        ],
        "retries": [event.step_retry_data.seconds_to_wait for event in retries],
    }


if __name__ == "__main__":
    command, path = sys.argv[1:]
    with DagsterInstance.get() as found:
        told = run_night(load_definitions(path), found) if command == "night" else read_events(found)
    print(json.dumps(told))
