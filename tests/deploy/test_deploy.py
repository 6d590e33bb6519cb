"""The README's ready-made units, container file and DAG: systemd takes the units, and each names what there is."""

import re
import shlex
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import click
import pytest

from pipelines.cli.main import cli
from pipelines.errors import CallsError, PbxUnavailable, StoppedEarly
from tests.support.readme import blocks


def unit(name: str) -> str:
    """A unit file, as the README has it."""
    return next(block for block in blocks("ini") if block.startswith(f"# {name}\n"))


def parse(text: str) -> ConfigParser:
    """What a unit file says."""
    parser = ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # keys keep their case
    parser.read_string(text)
    return parser


def codes(kind: type[CallsError]) -> set[int]:
    """An error's exit code and its children's."""
    return {kind.exit_code}.union(*(codes(child) for child in kind.__subclasses__()))


@pytest.mark.debian
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    """`systemd-analyze verify` has nothing to say against service and timer."""
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.fail("systemd-analyze is missing. Install it: apt-get install -y --no-install-recommends systemd")
    for name in ("calls.service", "calls.timer"):
        text = re.sub(r"^ExecStart=\S+", f"ExecStart={shutil.which('true')}", unit(name), flags=re.M)
        (tmp_path / name).write_text(text)
    units = map(str, sorted(tmp_path.glob("calls.*")))
    ran = subprocess.run([verify, "verify", *units], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_missed_night_is_made_up_for() -> None:
    """The timer runs what it missed while the machine was off."""
    assert parse(unit("calls.timer"))["Timer"]["Persistent"] == "yes"


def test_the_service_retries_what_may_pass() -> None:
    """Every exit code but those of an unreachable PBX and an early stop needs somebody, and is not tried again."""
    given_up = {int(code) for code in parse(unit("calls.service"))["Service"]["RestartPreventExitStatus"].split()}
    assert given_up == codes(CallsError) - {PbxUnavailable.exit_code, StoppedEarly.exit_code}


def test_commands_are_there() -> None:
    """Every `calls …` in the files parses."""
    shown = "".join("".join(blocks(language)) for language in ("ini", "python", "dockerfile"))
    found = re.findall(r"(?:bin/calls|\{CALLS\}) ([a-z-]+[^\"&\n]*)", shown)
    assert len(found) >= 4
    for command in found:
        name, *arguments = shlex.split(command.replace("{pbx}", "main"))
        cli.commands[name].make_context(name, arguments, parent=click.Context(cli, **cli.context_settings))
