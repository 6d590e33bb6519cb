"""Who may know what: the walls between the modules, read from their imports."""

import ast
from pathlib import Path

import pytest

PIPELINES = Path(__file__).parent.parent / "pipelines"
# Package → the modules that may import it.
WALLS = {
    "httpx": {"voipcloud/client.py", "nightly/notify.py"},
    "dlt": {
        "voipcloud/__init__.py",
        "voipcloud/settings.py",
        "warehouse/__init__.py",
        "warehouse/postgres.py",
        "nightly/notify.py",
        "cli/options.py",
        "cli/main.py",
    },
    "dbt": {"transform/dbt.py"},
    "altair": {"report/charts.py"},
    "sqlite3": {"budget/sqlite.py"},
}
# The core: pure of dlt, of any database, and of the network, so that it can be tried against thousands of histories.
CORE = (
    "voipcloud/paging.py",
    "voipcloud/coverage.py",
    "voipcloud/packages.py",
    "voipcloud/records/",
    "voipcloud/responses.py",
    "voipcloud/schemas.py",
    "voipcloud/ahead.py",
)
OUTSIDE = {"dlt", "dbt", "duckdb", "psycopg2", "sqlite3", "httpx", "socket"}


def imports(path: Path) -> set[str]:
    """The packages that a module imports, anywhere in it, by their first name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


MODULES = {str(path.relative_to(PIPELINES)): imports(path) for path in sorted(PIPELINES.rglob("*.py"))}


@pytest.mark.parametrize("package", WALLS)
def test_a_package_is_known_where_it_belongs(package: str) -> None:
    """Only the modules that are there for it import a package, and each of them does."""
    assert {module for module, found in MODULES.items() if package in found} == WALLS[package]


def test_the_core_is_pure() -> None:
    """What decides which calls are read, and when, knows neither network nor database."""
    core = {module: found for module, found in MODULES.items() if module.startswith(CORE)}
    assert len(core) > len(CORE)
    assert {module: found & OUTSIDE for module, found in core.items()} == {module: set() for module in core}
