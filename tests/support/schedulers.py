"""What the tests of `pipelines/deploy/` share: its files, the schedulers' commands, the search for secrets."""

import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipelines.sandbox.account import Account
from pipelines.sandbox.callcentre import CallCentre, simulate
from pipelines.sandbox.server import SimulatedPBX
from pipelines.voipcloud.schemas import ENDPOINTS
from tests.support.readme import ROOT
from tests.support.site import Ran, Site, as_stored, as_told

DEPLOY = ROOT / "pipelines" / "deploy"
NUMBERS = ("callerid", "inbound_number", "from_number", "to_number")


def small_pbx(name: str = "main", seed: int = 0) -> Account:
    """A PBX with five days of a small call centre, under a key that no other text holds."""
    first = datetime.now(UTC).date() - timedelta(days=5)
    tables = simulate(CallCentre(first_day=first, days=5, calls_per_day=40, seed=seed))
    return Account(f"9d41-the-key-of-{name}-7c20", tables, name=name)


def run_in(scheduler: str, command: str, *arguments: str, folder: Path, variables: Mapping[str, str]) -> Ran:
    """A command of `.venv-<scheduler>`, run in `folder` with these environment variables beside the settings."""
    program = ROOT / f".venv-{scheduler}" / "bin" / command
    assert program.exists(), f"{program} is missing. Run: make deploy-test"
    ran = subprocess.run(
        [program, *arguments],
        cwd=folder,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    return Ran(ran.returncode, ran.stdout, ran.stderr)


def edited(name: str, replacements: Mapping[str, str]) -> str:
    """A file of `pipelines/deploy/` as a user edits it: each text to replace stands in it once."""
    text = (DEPLOY / name).read_text()
    for old, new in replacements.items():
        assert text.count(old) == 1, f"{name}: {old!r}"
        text = text.replace(old, new)
    return text


def container_steps(instruction: str) -> list[str]:
    """What the Containerfile says after each instruction of this name."""
    text = (DEPLOY / "Containerfile").read_text().replace("\\\n", " ")
    return re.findall(rf"^{instruction} (.*)$", text, re.MULTILINE)


def assert_loaded(site: Site, account: str = "main") -> None:
    """The three lists in `raw` hold every call of the PBX as often as the PBX does."""
    for endpoint in ENDPOINTS:
        stored = as_stored(endpoint, site.query(f"from raw.{endpoint} where account = ?", account))
        told = as_told(endpoint, site.pbx.records(endpoint, account))
        assert (told - stored, stored - told) == (Counter(), Counter()), endpoint


def assert_no_secrets(pbx: SimulatedPBX, folders: Iterable[Path], *texts: str) -> None:
    """Neither a key nor a caller's number of this PBX stands in any file of the folders, or in the texts."""
    secrets = {account.key for account in pbx.accounts.values()}
    for account in pbx.accounts:
        rows = [row for endpoint in ENDPOINTS for row in pbx.records(endpoint, account)]
        numbers = {str(row[name]).lstrip("+") for row in rows for name in NUMBERS if row.get(name)}
        secrets |= {number for number in numbers if len(number) > 8}
    assert len(secrets) > 50
    pattern = re.compile("|".join(map(re.escape, sorted(secrets))).encode())
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert files
    found = [str(path) for path in files if pattern.search(path.read_bytes())]
    assert (found, [text for text in texts if pattern.search(text.encode())]) == ([], [])
