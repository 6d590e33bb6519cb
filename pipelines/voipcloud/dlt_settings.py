"""What dlt does differently for these loads: settings of ours, below the user's files and environment, which win.

Two of them are forced, above everything else: dlt's log, whose tracebacks may quote rows, and the load id in Arrow
tables, on which the models rely.
"""

from typing import Any

from dlt.common.configuration.container import Container
from dlt.common.configuration.providers.doc import BaseDocProvider
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from dlt.common.runtime.telemetry import stop_telemetry

OURS: dict[str, Any] = {
    "runtime": {
        "dlthub_telemetry": False,
        "intercept_signals": False,  # a signal ends the reading, and lets the load finish
    },
    "load": {
        "truncate_staging_dataset": True,  # calls stand in `raw` once, and not in a copy as well
        "delete_completed_jobs": True,  # nor in files of the working folder
        "raise_on_max_retries": 3,
    },
}
FORCED: dict[str, Any] = {
    "runtime": {"log_level": "CRITICAL"},
    "normalize": {"parquet_normalizer": {"add_dlt_load_id": True}},
}


class _Provider(BaseDocProvider):
    """Settings as a nested mapping, under a name of their own."""

    def __init__(self, name: str, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    @property
    def supports_secrets(self) -> bool:
        return True  # it holds none; asking which settings are secret would cost more than the reading of a page


def add_our_settings() -> None:
    """Gives dlt these settings, once per process, and has it take them: a pipeline may be made already."""
    context = Container()[PluggableRunContext]
    providers = context.providers
    forced, ours = _Provider("calls, forced", FORCED), _Provider("calls", OURS)
    if ours.name in providers:
        return
    providers.providers.insert(0, forced)
    providers.add_provider(ours)
    stop_telemetry()
    context.initialize_runtime()
