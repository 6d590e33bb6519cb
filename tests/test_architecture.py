"""The house, drawn from its imports: rooms on floors, no arrow up, and walls between what need not know each other.

A room is a folder or a file directly in `pipelines/`, but for its doors, `__init__.py` and `__main__.py`.
"""

import ast
from collections.abc import Mapping, Set
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PIPELINES = Path(__file__).parents[1] / "pipelines"
DOORS = {"__init__", "__main__"}
MAX_ROOMS, MAX_FLOORS, MAX_FILES, MAX_FOLDERS = 16, 9, 6, 13
# Package → the rooms, or modules, that may import it; each of them does.
WALLS = {
    "httpx": {"voipcloud.client", "nightly.notify"},
    "dlt": {"voipcloud", "load.pipeline", "warehouse", "cli"},
    "dbt": {"transform.dbt"},
    "vl_convert": {"report.html"},
    "sqlite3": {"budget.sqlite"},
}
DATABASES = {"duckdb", "psycopg2", "sqlite3", "sqlalchemy", "adbc_driver_postgresql", "adbc_driver_manager"}
OUTSIDE = DATABASES | {"dlt", "dbt", "httpx", "socket"}
# What decides which calls are read, and when.
CORE = (
    "voipcloud.paging",
    "voipcloud.coverage",
    "voipcloud.records",
    "voipcloud.schemas",
    "budget.ledger",
    "budget.clock",
)
Imports = Mapping[str, Set[str]]


def is_in(module: str, place: str) -> bool:
    """Whether a module is a room or module, or lies in it."""
    return f"{module}.".startswith(f"{place}.")


def find_modules() -> dict[str, Path]:
    """Each module's file, by its dotted name without `pipelines.`; a package stands for its `__init__.py`."""
    files = sorted(PIPELINES.rglob("*.py"))
    return {
        ".".join(file.relative_to(PIPELINES).with_suffix("").parts).removesuffix(".__init__"): file for file in files
    }


MODULES = find_modules()


def read_imports(module: str) -> set[str]:
    """What a module imports, anywhere in it, as full names: a module for what is taken from one."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} has a relative import, which this test cannot follow"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full.removeprefix("pipelines.") in MODULES else f"{node.module}")
    return found


IMPORTS = {module: read_imports(module) for module in MODULES}
INSIDE = {  # module → modules of `pipelines`
    module: {name.removeprefix("pipelines.") for name in found if name.startswith("pipelines.")}
    for module, found in IMPORTS.items()
}
PACKAGES = {  # module → packages from elsewhere
    module: {name.split(".")[0] for name in found if not is_in(name, "pipelines")} for module, found in IMPORTS.items()
}


def draw_rooms() -> dict[str, set[str]]:
    """Each room, and the other rooms that it imports."""
    drawn: dict[str, set[str]] = {module.split(".")[0]: set() for module in MODULES if module not in DOORS}
    for module, found in INSIDE.items():
        room = module.split(".")[0]
        if room in drawn:
            drawn[room] |= {name.split(".")[0] for name in found} - {room}
    return drawn


def assert_no_circle(imports: Imports) -> None:
    """No module imports, directly or through others, a module that imports it."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail("a circle of imports: " + " ← ".join(error.args[1]))


def draw_floors(imports: Imports) -> dict[str, int]:
    """Each room's floor: one above the highest that it imports; those that import none are on the first."""
    floors: dict[str, int] = {}
    for room in TopologicalSorter(imports).static_order():
        floors[room] = 1 + max((floors[below] for below in imports[room]), default=0)
    return floors


def reach(module: str) -> set[str]:
    """A module, and all that it imports by however many steps."""
    reached, ahead = {module}, [module]
    while ahead:
        found = INSIDE[ahead.pop()] - reached
        reached |= found
        ahead += found
    return reached


def test_rooms_form_no_circle() -> None:
    """Between two rooms all imports go one way: no arrow back up."""
    assert_no_circle(draw_rooms())


@pytest.mark.parametrize("room", sorted(draw_rooms()))
def test_no_circle_inside_a_room(room: str) -> None:
    """Its modules import each other one way as well."""
    inside = {
        module: {name for name in INSIDE[module] if is_in(name, room)} for module in MODULES if is_in(module, room)
    }
    assert_no_circle(inside)


def test_the_house_is_low() -> None:
    """There are few rooms, on few floors; on the highest, what people and schedulers start, and nothing else."""
    rooms = draw_rooms()
    floors = draw_floors(rooms)
    assert len(rooms) <= MAX_ROOMS
    assert max(floors.values()) <= MAX_FLOORS
    assert {room for room, floor in floors.items() if floor == max(floors.values())} == {"cli", "deploy"}


def test_few_things_lie_side_by_side() -> None:
    """Directly in `pipelines/` are few files and folders."""
    files = [path.name for path in PIPELINES.iterdir() if path.is_file()]
    folders = [path.name for path in PIPELINES.iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert len(files) <= MAX_FILES, files
    assert len(folders) <= MAX_FOLDERS, folders


def test_doors_lead_to_the_command_line() -> None:
    """`pipelines` itself imports nothing, and `python -m pipelines` only the command line."""
    assert IMPORTS["__init__"] == set()
    assert IMPORTS["__main__"] == {"pipelines.cli.main"}


@pytest.mark.parametrize("package", WALLS)
def test_a_package_is_known_where_it_belongs(package: str) -> None:
    """Only the rooms that are there for it import a package, and each of them does."""
    knowing = [module for module, packages in PACKAGES.items() if package in packages]
    assert [module for module in knowing if not any(is_in(module, place) for place in WALLS[package])] == []
    assert [place for place in WALLS[package] if not any(is_in(module, place) for module in knowing)] == []


def test_http_never_knows_dlt() -> None:
    """What talks to the PBX reaches no dlt by any step, so that it can be used and tested alone."""
    assert [module for module in reach("voipcloud.client") if "dlt" in PACKAGES[module]] == []


def test_the_source_never_knows_a_database() -> None:
    """It extracts; where to is dlt's business. Only the budget that it spends keeps a ledger in one."""
    source = [module for module in MODULES if is_in(module, "voipcloud")]
    assert len(source) > 10
    assert {module: PACKAGES[module] & DATABASES for module in source if PACKAGES[module] & DATABASES} == {}
    assert not draw_rooms()["voipcloud"] & {"warehouse", "load", "transform", "publish"}


@pytest.mark.parametrize("core", CORE)
def test_the_core_is_pure(core: str) -> None:
    """What decides which calls are read, and when, reaches neither network nor database, so that it can be tried
    against thousands of histories."""
    modules = [module for module in MODULES if is_in(module, core)]
    assert modules
    reached = {name for module in modules for name in reach(module)}
    assert {name: PACKAGES[name] & OUTSIDE for name in sorted(reached) if PACKAGES[name] & OUTSIDE} == {}
