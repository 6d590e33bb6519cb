"""Keeps a file with secrets out of the git repository around it."""

import shutil
import subprocess
from pathlib import Path

import click

from pipelines.cli.output import say_warning


def offer_to_ignore(path: Path) -> None:
    """Say what git does with the file. If it would be committed, offer to add it to `.gitignore`."""
    git = shutil.which("git")
    if git is None or _git(git, "rev-parse", "--is-inside-work-tree") != 0:
        return
    if _git(git, "ls-files", "--error-unmatch", str(path)) == 0:
        say_warning(f"git already tracks {path}: remove it with git rm --cached {path}, and change the key.")
    elif _git(git, "check-ignore", "--quiet", str(path)) == 0:
        click.echo(f"git ignores {path}, as it should.")
    elif click.confirm(f"git would commit {path}. Add it to .gitignore?", default=True):
        _add_line(Path(".gitignore"), f"/{path}")
    else:
        say_warning(f"{path} will hold the key, and can be committed by mistake.")


def _git(git: str, *arguments: str) -> int:
    return subprocess.run([git, *arguments], capture_output=True, check=False).returncode


def _add_line(path: Path, line: str) -> None:
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    start = f"{text}\n" if text and not text.endswith("\n") else text
    path.write_text(f"{start}{line}\n", encoding="utf-8")
    click.echo(f"Added {line} to {path}.")
