"""The files for schedulers, without the schedulers: each names what there is, and systemd takes the units."""

import ast
import importlib
import json
import re
import shlex
import shutil
import subprocess
import tomllib
from configparser import ConfigParser
from pathlib import Path

import click
import pytest

from pipelines.cli.main import cli
from pipelines.errors import CallsError, PbxUnavailable, StoppedEarly
from tests.support.readme import README, ROOT
from tests.support.schedulers import DEPLOY, container_steps

UNITS = ("calls.service", "calls.timer")


def parse(name: str) -> ConfigParser:
    """What a unit file says."""
    parser = ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # keys keep their case
    parser.read_string((DEPLOY / name).read_text())
    return parser


def codes(kind: type[CallsError]) -> set[int]:
    """An error's exit code and its children's."""
    return {kind.exit_code}.union(*(codes(child) for child in kind.__subclasses__()))


def parse_command(arguments: list[str]) -> None:
    """Raises for a command line of `calls` that is none."""
    name, *others = arguments
    cli.commands[name].make_context(name, others, parent=click.Context(cli, **cli.context_settings))


@pytest.mark.debian
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    """`systemd-analyze verify` has nothing to say against service and timer."""
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.fail("systemd-analyze is missing. Install it: apt-get install -y --no-install-recommends systemd")
    for name in UNITS:
        text = re.sub(r"^ExecStart=\S+", f"ExecStart={shutil.which('true')}", (DEPLOY / name).read_text(), flags=re.M)
        (tmp_path / name).write_text(text)
    units = map(str, sorted(tmp_path.glob("calls.*")))
    ran = subprocess.run([verify, "verify", *units], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_missed_night_is_made_up_for() -> None:
    """The timer runs what it missed while the machine was off."""
    assert parse("calls.timer")["Timer"]["Persistent"] == "yes"


def test_the_service_retries_what_may_pass() -> None:
    """Every exit code but those of an unreachable PBX and an early stop needs a person, and is not tried again."""
    given_up = {int(code) for code in parse("calls.service")["Service"]["RestartPreventExitStatus"].split()}
    assert given_up == codes(CallsError) - {PbxUnavailable.exit_code, StoppedEarly.exit_code}


def test_the_commands_are_there() -> None:
    """What systemd and the container run is a command of `calls`."""
    program, *arguments = shlex.split(parse("calls.service")["Service"]["ExecStart"])
    assert Path(program).name == "calls"
    parse_command(arguments)
    entry, command = (json.loads(step) for name in ("ENTRYPOINT", "CMD") for step in container_steps(name))
    assert [Path(word).name for word in entry] == ["calls"]
    parse_command(command)


def test_no_secret_gets_into_an_image() -> None:
    """The image has the project's files by name, which are there, and never the folder that also holds the key."""
    copied = [word for step in container_steps("COPY") if "--from" not in step for word in step.split()[:-1]]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(copied) == {"pyproject.toml", "constraints.txt", project["readme"], "pipelines", "sql"}
    assert [name for name in copied if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("name", ["airflow_dag.py", "dagster_assets.py"])
def test_what_the_files_import_is_there(name: str) -> None:
    """Each name that they take from this project is one."""
    taken = [
        (node.module, alias.name)
        for node in ast.walk(ast.parse((DEPLOY / name).read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("pipelines.")
        for alias in node.names
    ]
    assert ("pipelines.voipcloud", "voipcloud") in taken
    assert [place for place in taken if not hasattr(importlib.import_module(place[0]), place[1])] == []


@pytest.mark.parametrize("name", ["airflow.txt", "dagster.txt"])
def test_the_versions_are_pinned_once(name: str) -> None:
    """Each line is one package's version, of a package that `constraints.txt` does not pin already."""
    lines = Path(__file__).with_name(name).read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9a-z.]+", line)] == []
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().split()}
    assert [line for line in lines if line.split("==")[0].lower().replace("_", "-") in pinned] == []


def test_the_readme_installs_what_is_tested() -> None:
    """The README's command is the one that makes the environments of the tests."""
    command = "--constraint constraints.txt --requirement tests/deploy/{}.txt --editable ."
    assert f"pip install {command.format('airflow')}" in README
    makefile = (ROOT / "Makefile").read_text()
    assert [name for name in ("airflow", "dagster") if command.format(name) not in makefile] == []


def test_the_readme_links_to_each() -> None:
    """Every file in `pipelines/deploy/` is linked from the README."""
    names = {path.name for path in DEPLOY.iterdir() if path.is_file()} - {"__init__.py"}
    assert len(names) == 5
    assert [name for name in names if f"(pipelines/deploy/{name})" not in README] == []
