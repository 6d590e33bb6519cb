"""Setting up: `calls init` and `calls doctor`."""

import sys
from pathlib import Path
from typing import NoReturn

import click

from pipelines.cli.doctor import examine
from pipelines.cli.init import set_up
from pipelines.cli.options import account_option, any_destination_option, json_option
from pipelines.cli.output import emit, out, write
from pipelines.errors import SEVERITY

MARKS = {"ok": "[green]ok[/]  ", "note": "[yellow]note[/]", "fail": "[red]FAIL[/]", "not tried": "-   "}


@click.command()
def init() -> None:
    """Ask for the settings, write .dlt/config.toml and .dlt/secrets.toml, and check them."""
    engine = set_up(Path(".dlt"))
    if engine is not None:
        _examine((), engine)


@click.command()
@account_option
@any_destination_option
@json_option
def doctor(accounts: tuple[str, ...], destination: str, as_json: bool) -> None:
    """Check settings, budget, the way to the PBX, key, clock, warehouse; each with its next step. Costs one request."""
    _examine(accounts, destination, as_json=as_json)


def _examine(accounts: tuple[str, ...], engine: str, *, as_json: bool = False) -> NoReturn:
    """Show each finding as soon as it is known, or all as JSON. Ends with the gravest code."""
    found = []
    for finding in examine(accounts, engine):
        found.append(finding)
        if not as_json:
            out.print(f"{MARKS[finding.verdict]} ", end="")
            whose = f"{finding.account}: " if finding.account else ""
            write(f"{whose}{finding.what}: {finding.found}")
    emit({"findings": found}, as_json)
    sys.exit(max((finding.exit_code for finding in found), key=SEVERITY.index))
