"""The load, against other ways to load the same calls: `python -m tests.bench`."""

import os
import tempfile
from functools import partial
from pathlib import Path

import click

from tests.bench.contest import compete, served
from tests.bench.loads import load_half, load_ours, load_packages, load_read_json, load_rest_api
from tests.bench.postgres import compare_formats


def main() -> None:
    """Prints every benchmark."""
    rows = int(os.environ.get("BENCH_ROWS", "200000"))
    with tempfile.TemporaryDirectory(prefix="calls-bench-") as folder, served(rows, Path(folder)) as (base_url, count):
        click.echo(f"{count:,} queue calls over HTTP into DuckDB (median seconds and peak memory of a process)")
        contend = partial(compete, base_url, Path(folder))
        # by turns, so that what else the machine does meets both
        ours, plain = contend({"calls load": load_ours, "httpx, then DuckDB's read_json": load_read_json}, 9)
        (rest,) = contend({"dlt's rest_api source": load_rest_api})
        click.echo(f"  calls load / httpx and read_json     {ours[0] / plain[0]:6.2f}   (at most 1)")
        click.echo(f"  calls load / dlt's rest_api          {ours[0] / rest[0]:6.3f}   (at most 0.05)")
        whole, half = contend({"calls load, five pages a package": load_packages, "half of the pages": load_half}, 3)
        click.echo(f"  memory, all pages / half of them     {whole[1] / half[1]:6.2f}   (at most 1.1)")
        compare_formats(base_url, Path(folder))


if __name__ == "__main__":
    main()
