"""What `calls demo` ends with: yesterday's queues, where things are, whom to call back, and three questions to try."""

import os
from pathlib import Path

import duckdb

from pipelines.cli import output as screen
from pipelines.publish import published_folder
from pipelines.warehouse import Target

YESTERDAY = """
select queue_name, offered_count, abandonment_rate, service_level_offered_rate, average_speed_of_answer_seconds
from marts.queue_days
where local_date = (select max(local_date) - 1 from marts.queue_days)
order by offered_count desc
"""
QUESTIONS = (
    "select caller_number, queue_name, wait_seconds from marts.lost_calls where is_open order by entered_at limit 5",
    "select local_date, offered_count, abandonment_rate from marts.account_days order by local_date desc limit 7",
    "select user_name, sum(queue_calls_answered_count) from marts.agent_days group by all order by 2 desc limit 5",
)


def print_tour(target: Target) -> None:
    """Yesterday's queues from the readers' copy, where things are, and what to try."""
    readers, report = published_folder(target) / "calls.duckdb", published_folder(target) / "report.html"
    table = screen.new_table("yesterday's queues", "offered", "given up", "in 20 s", "average wait", right=(1, 2, 3, 4))
    with duckdb.connect(str(readers), read_only=True) as marts:
        for name, offered, abandoned, in_time, wait in marts.execute(YESTERDAY).fetchall():
            shares = ("-" if share is None else f"{share:.1%}" for share in (abandoned, in_time))
            table.add_row(name, f"{offered:,}", *shares, "-" if wait is None else f"{wait:.0f} s")
    screen.out.print(table)
    if report.exists():
        screen.out.print(f"The report, for a browser: {report}", markup=False)
    screen.out.print(
        f"The warehouse is {target.path}. Whom to call back:\n\n  {_here(target)} .venv/bin/calls lost\n", markup=False
    )
    screen.out.print(f"The marts are in {readers}, Parquet copies beside it. Three questions to try:\n", markup=False)
    for question in QUESTIONS:
        screen.out.print(f"  {question}", markup=False)
    screen.out.print(
        '\nwith: .venv/bin/python -c "import duckdb, sys; '
        "print(duckdb.connect('demo/published/calls.duckdb').sql(sys.argv[1]))\" '…'",
        markup=False,
    )


def _here(target: Target) -> str:
    """The setting by which another command finds the demo's warehouse from this folder."""
    return f"DESTINATION__DUCKDB__CREDENTIALS={os.path.relpath(target.path, Path.cwd())}"
