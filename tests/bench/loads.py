"""Ways to load queue calls into a new DuckDB file: ours, whole or in part, and others'."""

import json
import os
from datetime import date
from pathlib import Path
from typing import Any

PAGE_ROWS = 10_000


def load_ours(base_url: str, key: str, folder: Path) -> int:
    """`calls load` of the queue calls."""
    return _load(folder, None)


def load_packages(base_url: str, key: str, folder: Path) -> int:
    """The same in packages of 50,000."""
    os.environ["SOURCES__VOIPCLOUD__PACKAGE_PAGES"] = "5"
    return _load(folder, None)


def load_half(base_url: str, key: str, folder: Path) -> int:
    """The second half of the year in such packages."""
    from pipelines.voipcloud.coverage import DateRange

    os.environ["SOURCES__VOIPCLOUD__PACKAGE_PAGES"] = "5"
    return _load(folder, DateRange(date(2025, 7, 2), None))


def _load(folder: Path, again: Any) -> int:
    from pipelines.load.account import LoadOptions, Observer, load_account
    from pipelines.voipcloud.settings import read_accounts
    from pipelines.warehouse import Target

    options = LoadOptions(endpoints=("queue_calls",), again=again)
    loaded = load_account(read_accounts()[0], Target("duckdb", str(folder / "warehouse.duckdb")), options, Observer())
    if loaded.error:
        raise loaded.error
    return loaded.rows.get("queue_calls", 0)


def load_read_json(base_url: str, key: str, folder: Path) -> int:
    """The plainest fast way: pages to files, and one `read_json` over them."""
    import duckdb
    import httpx

    offset = 0
    with httpx.Client(headers={"token": key}) as client:
        while True:
            url = f"{base_url}/api/integration/v1/get-queue-calls"
            body = client.get(url, params={"limit": PAGE_ROWS, "offset": offset}).content
            (folder / f"{offset:09}.json").write_bytes(body)
            offset += PAGE_ROWS
            if body.count(b'"call_start_at"') < PAGE_ROWS:
                break
    with duckdb.connect(str(folder / "plain.duckdb")) as warehouse:
        warehouse.execute(
            f"create table queue_calls as select unnest(data, recursive := true) from read_json('{folder}/0*.json', "
            "maximum_object_size = 67108864)"
        )
        return _count(warehouse.execute("select count(*) from queue_calls").fetchone())


def load_rest_api(base_url: str, key: str, folder: Path) -> int:
    """dlt's own REST source, paging by offset, into DuckDB."""
    import dlt
    from dlt.sources.rest_api import rest_api_source

    config: Any = {
        "client": {
            "base_url": f"{base_url}/api/integration/v1/",
            "headers": {"token": key},
            "paginator": {"type": "offset", "limit": PAGE_ROWS, "total_path": None},
        },
        "resources": [{"name": "queue_calls", "endpoint": {"path": "get-queue-calls", "data_selector": "data"}}],
    }
    pipeline = dlt.pipeline(
        "rest", pipelines_dir=str(folder / "dlt"), destination=dlt.destinations.duckdb(str(folder / "rest.duckdb"))
    )
    pipeline.run(rest_api_source(config))
    done = pipeline.last_trace and pipeline.last_trace.last_normalize_info
    return done.row_counts.get("queue_calls", 0) if done else 0  # of no calls it makes no table to be counted


def _count(row: Any) -> int:
    return int(json.loads(str(row[0])))
