"""The Containerfile's steps, taken in a folder instead of a container; then a night by what they made."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.readme import ROOT
from tests.support.schedulers import container_steps, small_pbx
from tests.support.site import Site, assert_truth


@pytest.mark.deploy
def test_a_night_in_the_container(make_site: Callable[..., Site], tmp_path: Path) -> None:
    """What the image copies is enough to install `calls` and to run a whole night with it."""
    site, image = make_site(small_pbx()), tmp_path / "image"
    for step in container_steps("COPY"):
        *sources, target = step.split()
        if not step.startswith("--from"):
            copy_into(image / target.lstrip("/"), sources)
    (command,) = container_steps("RUN")
    python = image / "bin" / "python"
    python.parent.mkdir()
    python.symlink_to(Path(sys.base_prefix) / "bin" / "python3.11")
    path = f"{python.parent}:{os.environ['PATH']}"
    installed = subprocess.run(
        ["/bin/sh", "-ec", command.replace("/opt/", f"{image}/opt/")],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert installed.returncode == 0, installed.stderr

    (entry, command_line) = (json.loads(container_steps(name)[0]) for name in ("ENTRYPOINT", "CMD"))
    night = [str(image) + entry[0], *entry[1:], *command_line]
    ran = subprocess.run(night, cwd=site.folder, capture_output=True, text=True, check=False, timeout=280)
    assert ran.returncode == 0, ran.stderr
    assert_truth(site)
    assert (site.folder / "published" / "report.html").exists()


def copy_into(target: Path, sources: list[str]) -> None:
    """As COPY: files into a folder, or a folder's content."""
    for name in sources:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
