"""Builds and tests `sql/` with dbt, in this process, on DuckDB or Postgres.

Data flow: raw tables → `project.run_dbt("build")` (staging, intermediate, marts, each followed by its tests) → one
`ModelResult` per model. `last_build` records in the warehouse whether the build passed.
"""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from pipelines.files import replace_private
from pipelines.transform.last_build import built_fingerprint
from pipelines.transform.project import PROJECT, BuildProgress, ModelsFailed, project_fingerprint, run_dbt
from pipelines.voipcloud.schemas import SQL_TABLES
from pipelines.warehouse import DATASET, Execute, Target, connected, create_missing

__all__ = [
    "PROJECT",
    "BuildProgress",
    "ModelResult",
    "ModelsFailed",
    "build_docs",
    "build_models",
    "create_missing_raw",
    "run_dbt",
]


@dataclass(frozen=True)
class ModelResult:
    """One model after a build.

    `rows` is the number of rows it holds now; None for a view. `tests_failed` counts failed tests of severity `warn`,
    which do not stop the build.
    """

    model: str
    rows: int | None
    seconds: float
    tests_passed: int
    tests_failed: int


def build_models(
    target: Target,
    work_dir: Path,
    *,
    full_refresh: bool = False,
    on_progress: BuildProgress | None = None,
) -> list[ModelResult]:
    """Build every model from the days loaded since the last whole build, and run the data tests.

    Builds everything anew with `full_refresh`, or if a file of the project has changed since. `work_dir` and
    `on_progress`: see `run_dbt`. Raises `ModelsFailed`.
    """
    create_missing_raw(target)
    arguments = ["build", "--exclude-resource-type", "unit_test"]
    if full_refresh or built_fingerprint(target) != project_fingerprint():
        arguments.append("--full-refresh")
    results = run_dbt(target, work_dir, arguments, on_progress=on_progress)
    return _model_results(target, results)


def build_docs(target: Target, work_dir: Path, folder: Path) -> Path:
    """Write dbt's documentation with the lineage to one file in `folder` that only the user can read; return its path.

    It has the warehouse's column types and table sizes. Raises `ModelsFailed`, also if nothing has been built yet.
    """
    if built_fingerprint(target) is None:
        raise ModelsFailed("There is nothing to describe yet. Build the models first: calls build.")
    run_dbt(target, work_dir, ["docs", "generate", "--static"])
    page = folder / "docs.html"
    html = (work_dir / "target" / "static_index.html").read_text(encoding="utf-8")
    for place, name in ((work_dir, "dbt"), (PROJECT, "sql")):  # a page that is passed on must not show local paths
        html = html.replace(json.dumps(str(place))[1:-1], name)
    replace_private(page, html)
    return page


def create_missing_raw(target: Target) -> None:
    """Make each raw table that no load has needed yet, so that every model can be built."""
    create_missing(target, DATASET, SQL_TABLES)


def _model_results(target: Target, results: list[Any]) -> list[ModelResult]:
    tests: Counter[tuple[str, bool]] = Counter()
    for result in results:
        if result.node.resource_type == "test":
            tested = getattr(result.node, "attached_node", None) or result.node.depends_on.nodes[-1]
            tests[tested.split(".")[-1], result.status == "pass"] += 1
    with connected(target) as execute:
        return [
            ModelResult(
                model=result.node.name,
                rows=_count_rows(execute, result.node),
                seconds=result.execution_time,
                tests_passed=tests[result.node.name, True],
                tests_failed=tests[result.node.name, False],
            )
            for result in results
            if result.node.resource_type in {"model", "seed"}
        ]


def _count_rows(execute: Execute, node: Any) -> int | None:
    if node.config.materialized == "view":
        return None
    rows = execute(Template("select count(*) from $schema.$name").substitute(schema=node.schema, name=node.name))
    return int(rows[0][0])
