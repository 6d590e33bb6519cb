"""What the README says, tried: its commands, its queries, its settings, its tree, its exit codes."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import duckdb
import pytest

from pipelines.cli import tour
from pipelines.cli.main import cli
from pipelines.errors import CallsError
from pipelines.voipcloud import settings
from tests.support.readme import README, ROOT, blocks

CALLS = Path(sys.executable).with_name("calls")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder in which `calls demo` ran, and what it said."""
    folder = tmp_path_factory.mktemp("demo")
    ran = subprocess.run([CALLS, "demo"], cwd=folder, capture_output=True, text=True, timeout=200, check=False)
    assert ran.returncode == 0, ran.stderr
    return folder, ran.stdout


def commands() -> list[str]:
    """Every `calls …` command line in the README."""
    found = re.findall(r"(?:\.venv/bin/)?\bcalls ((?:[a-z-]+)(?: [^`|#\n>]+)?)", "\n".join(blocks("console")))
    inline = re.findall(r"`(?:\.venv/bin/)?calls ([a-z-]+(?: [^`<]*)?)`", README)
    return sorted({command.strip() for command in [*found, *inline]})


def test_the_demo_shows_what_the_readme_shows(demo: tuple[Path, str]) -> None:
    """The README's output is the demo's, but for numbers, times and paths, which differ with the day."""
    shown = next(block for block in blocks("text") if "Published" in block)

    def shape(text: str) -> list[str]:
        lines = [re.sub(r"[\d.,:%…-]+|/\S+", "", line) for line in text.splitlines()]
        return [re.sub(r"[\s─]+", " ", line).strip() for line in lines if re.search(r"[A-Za-z]", line)]

    fixed = [line for line in shape(shown) if not line.endswith("s")]
    said = shape(demo[1])
    assert fixed
    assert [line for line in fixed if line not in said] == []


def test_the_queries_run_on_the_readers_copy(demo: tuple[Path, str]) -> None:
    """Every query of the README, and of the demo's end, answers on the published copy, and most with rows."""
    queries = [query for block in blocks("sql") for query in block.split(";") if query.strip()]
    assert len(queries) >= 2
    with duckdb.connect(str(demo[0] / "demo/published/calls.duckdb"), read_only=True) as marts:
        for query in [*queries, *tour.QUESTIONS]:
            assert marts.execute(query).fetchall(), query


@pytest.mark.parametrize("command", commands())
def test_every_command_is_one(command: str) -> None:
    """Each command line of the README parses, with its options and arguments."""
    name, *arguments = shlex.split(command)
    cli.commands[name].make_context(name, list(arguments), parent=click.Context(cli, **cli.context_settings))


def test_every_command_is_found() -> None:
    """The README's commands are found by the pattern that looks for them."""
    assert {command.split()[0] for command in commands()} >= {"status", "budget", "load", "dial", "run", "doctor"}


def test_the_settings_are_those_there_are() -> None:
    """The settings table names each setting, and none that there is not."""
    table = README.split("## Settings")[1].split("## Privacy")[0]
    named = set(re.findall(r"`([a-z_.<>*]+)`", "".join(re.findall(r"^\|([^|]*)\|", table, re.MULTILINE))))
    assert named - {"accounts.<name>.*"} == settings.KEYS


def test_the_tree_is_the_tree() -> None:
    """Every module stands in the README's tree."""
    tree = next(block for block in blocks("text") if block.startswith("pipelines/"))
    modules = {path.name for path in (ROOT / "pipelines").glob("*.py")} - {"__init__.py", "__main__.py"}
    rooms = {f"{path.parent.name}/" for path in (ROOT / "pipelines").glob("*/__init__.py")}
    assert {name for name in modules | rooms if name not in tree} == set()


def test_the_exit_codes_are_those_there_are() -> None:
    """Each error's code stands in the table, and no other."""
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}

    def all_codes(kind: type[CallsError]) -> set[int]:
        return {kind.exit_code}.union(*(all_codes(child) for child in kind.__subclasses__()))

    assert codes == all_codes(CallsError) | {0, click.UsageError.exit_code}
