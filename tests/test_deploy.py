"""The ready-made files in `deploy/`: systemd takes the units, and each names commands and options that there are."""

import re
import shlex
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

from pipelines.__main__ import cli
from pipelines.errors import CallsError, PbxUnavailable, StoppedEarly

DEPLOY = Path(__file__).parent.parent / "deploy"


def unit(name: str) -> ConfigParser:
    """A unit file."""
    parser = ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # keys keep their case
    parser.read(DEPLOY / name)
    return parser


def codes(kind: type[CallsError]) -> set[int]:
    """An error's exit code and its children's."""
    return {kind.exit_code}.union(*(codes(child) for child in kind.__subclasses__()))


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    """`systemd-analyze verify` has nothing to say against service and timer, where there is a systemd."""
    for name in ("calls.service", "calls.timer"):
        text = (DEPLOY / name).read_text()
        (tmp_path / name).write_text(re.sub(r"^ExecStart=\S+", f"ExecStart={shutil.which('true')}", text, flags=re.M))
    verify = shutil.which("systemd-analyze")
    if verify:
        ran = subprocess.run(
            [verify, "verify", *map(str, sorted(tmp_path.glob("calls.*")))], capture_output=True, text=True, check=False
        )
        assert (ran.returncode, ran.stderr) == (0, "")
    assert unit("calls.timer")["Timer"]["Persistent"] == "yes"


def test_the_service_retries_what_may_pass() -> None:
    """Every exit code but those of an unreachable PBX and an early stop needs somebody, and is not tried again."""
    given_up = {int(code) for code in unit("calls.service")["Service"]["RestartPreventExitStatus"].split()}
    assert given_up == codes(CallsError) - {PbxUnavailable.exit_code, StoppedEarly.exit_code}


def test_commands_are_there() -> None:
    """Every `calls …` in the files parses."""
    found = re.findall(r"(?:bin/calls|\{CALLS\}) ([a-z-]+[^\"&\n]*)", "".join(p.read_text() for p in DEPLOY.iterdir()))
    assert len(found) >= 4
    for command in found:
        name, *arguments = shlex.split(command.replace("{pbx}", "main"))
        cli.commands[name].make_context(name, arguments)
