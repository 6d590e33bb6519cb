"""The report of a year of 20 queues: seconds and size, by themselves: `python -m tests.bench.report [calls a day]`."""

import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from pipelines.report import write_report
from tests.support.report_data import publish_history, store_history


def main() -> None:
    """Prints what a report costs; the first one also reads Vega out of its package, as every `calls report` does."""
    calls_a_day = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000
    with tempfile.TemporaryDirectory(prefix="calls-bench-") as name:
        folder = Path(name)
        target = store_history(
            folder / "warehouse.duckdb",
            last=date(2026, 6, 30),
            days=365,
            queues=20,
            calls_a_day=calls_a_day,
            agents=60,
        )
        publish_history(target, folder / "dbt")
        begun, worked = time.perf_counter(), time.process_time()
        size = write_report(target).stat().st_size / 1e6
        took = f"{time.perf_counter() - begun:.1f} s, {time.process_time() - worked:.1f} s of them computing"
    print(f"report of a year of 20 queues, {calls_a_day:,} calls a working day: {took} (at most 20); ", end="")
    print(f"{size:.2f} MB (at most 5)")


if __name__ == "__main__":
    main()
