"""Setting up: `calls init` and `calls doctor`."""

import sys
from pathlib import Path

import click

from pipelines.cli.doctor import examine
from pipelines.cli.doctor.findings import Finding, describe_finding
from pipelines.cli.init import set_up
from pipelines.cli.options import account_option, any_destination_option, json_option
from pipelines.cli.output import emit, out, write
from pipelines.errors import exit_code

MARKS = {"ok": "[green]ok[/]  ", "note": "[yellow]note[/]", "fail": "[red]FAIL[/]", "not tried": "-   "}


@click.command()
def init() -> None:
    """Ask for the settings, write .dlt/config.toml and .dlt/secrets.toml, and check them."""
    engine = set_up(Path(".dlt"))
    if engine is not None:
        found = _examine((), engine, is_shown=True)
        sys.exit(exit_code(finding.error for finding in found))


@click.command()
@account_option
@any_destination_option
@json_option
def doctor(accounts: tuple[str, ...], destination: str, as_json: bool) -> None:
    """Check settings, budget, the way to the PBX, key, clock, warehouse; each with its next step. Costs one request."""
    found = _examine(accounts, destination, is_shown=not as_json)
    emit({"findings": [describe_finding(finding) for finding in found]}, as_json, lambda: None)
    sys.exit(exit_code(finding.error for finding in found))


def _examine(accounts: tuple[str, ...], engine: str, *, is_shown: bool) -> list[Finding]:
    """All findings; if `is_shown`, each is printed as soon as it is known."""
    found = []
    for finding in examine(accounts, engine):
        if is_shown:
            _print_finding(finding)
        found.append(finding)
    return found


def _print_finding(finding: Finding) -> None:
    """A finding in a line; if it failed, with what to do."""
    out.print(f"{MARKS[finding.verdict]} ", end="")
    whose = f"{finding.account}: " if finding.account else ""
    write(f"{whose}{finding.what}: {finding.error or finding.found}")
