"""How `calls demo` ends: yesterday's queues, where things are, whom to call back, and three questions to try."""

import os
from pathlib import Path

import duckdb

from pipelines.cli.output import new_table, out, write
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
    table = new_table("yesterday's queues", "offered", "given up", "in 20 s", "average wait", right=(1, 2, 3, 4))
    with duckdb.connect(str(readers), read_only=True) as marts:
        for name, offered, abandoned, in_time, wait in marts.execute(YESTERDAY).fetchall():
            shares = ("-" if share is None else f"{share:.1%}" for share in (abandoned, in_time))
            table.add_row(name, f"{offered:,}", *shares, "-" if wait is None else f"{wait:.0f} s")
    out.print(table)
    if report.exists():
        write(f"The report, for a browser: {report}")
    write(f"The warehouse is {target.path}. Whom to call back:\n\n  {_setting(target)} .venv/bin/calls lost\n")
    write(f"The marts are in {readers}, Parquet copies beside it. Three questions to try:\n")
    for question in QUESTIONS:
        write(f"  {question}")
    write(
        '\nwith: .venv/bin/python -c "import duckdb, sys; '
        "print(duckdb.connect('demo/published/calls.duckdb').sql(sys.argv[1]))\" '…'"
    )


def _setting(target: Target) -> str:
    """The setting by which another command finds the demo's warehouse from this folder."""
    return f"DESTINATION__DUCKDB__CREDENTIALS={os.path.relpath(target.path, Path.cwd())}"
