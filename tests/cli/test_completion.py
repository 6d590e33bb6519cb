"""Shell completion, examples in the help, and suggestions for misspelt words."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from pipelines.cli.main import cli
from pipelines.cli.options import EXAMPLES
from pipelines.sandbox.account import Account
from tests.support import night
from tests.support.site import CALLS, Ran, Site

MakeSite = Callable[..., Site]
EXAMPLE_LINES = [(name, line) for name, lines in EXAMPLES.items() if name in cli.commands for line in lines]


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """Two PBXs."""
    return make_site(Account("one", name="north"), Account("other", name="south"))


def complete(site: Site, typed: str) -> Ran:
    """What bash gets when TAB is pressed at the end of what is typed."""
    place = str(len(typed.split()) - 1)
    return night.run(site, _CALLS_COMPLETE="bash_complete", COMP_WORDS=typed, COMP_CWORD=place)


def test_in_a_real_bash(site: Site) -> None:
    """A bash that has loaded the script completes `calls lo` to load and lost."""
    (site.folder / "completion").write_text(site.run("completion", "bash").out)
    typed = "source completion; COMP_WORDS=(calls lo); COMP_CWORD=1; _calls_completion calls; echo ${COMPREPLY[@]}"
    command = [shutil.which("bash") or "bash", "--norc", "-c", f"PATH={Path(CALLS).parent}:$PATH; {typed}"]
    ran = subprocess.run(command, cwd=site.folder, capture_output=True, text=True, timeout=120, check=False)
    assert (ran.stdout.split(), ran.stderr) == (["load", "lost"], "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_each_shell(site: Site, shell: str) -> None:
    """Each shell gets its own script, and nothing else is written."""
    ran = site.run("completion", shell)
    assert (ran.code, ran.err) == (0, "")
    assert f"_CALLS_COMPLETE={shell}_complete" in ran.out


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("calls lo", ["load", "lost"]),
        ("calls load --endpoint q", ["queue_calls"]),
        ("calls load --account n", ["north"]),
        ("calls lost --show", ["--show-numbers"]),
        ("calls completion f", ["fish"]),
    ],
)
def test_what_is_completed(site: Site, typed: str, words: list[str]) -> None:
    """Commands, options, endpoints and account names are completed."""
    assert complete(site, typed).out.split() == [f"plain,{word}" for word in words]


def test_nothing_is_completed_where_settings_are_wrong(site: Site) -> None:
    """Completion shows no error, whatever is wrong with the settings."""
    (site.folder / ".dlt").mkdir()
    (site.folder / ".dlt" / "config.toml").write_text("[sources.voipcloud\n")
    ran = complete(site, "calls load --account n")
    assert (ran.out.strip(), ran.err) == ("", "")


@pytest.mark.parametrize(("name", "line"), EXAMPLE_LINES)
def test_every_example_is_one(name: str, line: str) -> None:
    """Each example in a command's help parses as that command."""
    inner = re.search(r"\$\((.*)\)", line)
    words = shlex.split(inner[1] if inner else line.split(" > ", maxsplit=1)[0], comments=True)
    assert words[:2] == ["calls", name]
    cli.commands[name].make_context(name, words[2:], parent=click.Context(cli, **cli.context_settings))


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["los"], "Did you mean 'lost'?"),
        (["lost", "--show-number"], "Did you mean '--show-numbers'"),
        (["load", "--acount", "north"], "Did you mean '--account'"),
        (["load", "--account", "nroth"], "did you mean 'north'?"),
        (["load", "--endpoint", "queue_cals"], "did you mean 'queue_calls'?"),
        (["publish", "--destination", "postgress"], "did you mean 'postgres'?"),
    ],
)
def test_what_was_meant(site: Site, arguments: list[str], meant: str) -> None:
    """A misspelt command, option, account, endpoint or warehouse gets the word that was meant."""
    ran = site.run(*arguments)
    assert ran.code == 2
    assert meant in ran.err
    assert not site.pbx.arrivals
