"""The options that several commands share, and a choice that suggests the word that was meant."""

from contextlib import suppress

import click
from dlt.common.configuration.exceptions import ConfigProviderException

from pipelines.errors import CallsError
from pipelines.voipcloud.settings import account_names, meant


class Word(click.Choice[str]):
    """One of a few words."""

    def get_invalid_choice_message(self, value: str, ctx: click.Context | None) -> str:
        """click's own, with the word that was meant."""
        return super().get_invalid_choice_message(value, ctx).rstrip(".") + (meant(value, self.choices) or ".")


def _complete_account(_ctx: click.Context, _option: click.Parameter, begun: str) -> list[str]:
    with suppress(CallsError, ConfigProviderException):
        return [name for name in account_names() if name.startswith(begun)]
    return []


account_option = click.option(
    "--account",
    "accounts",
    multiple=True,
    metavar="A",
    shell_complete=_complete_account,
    help="Only this one; repeatable.",
)
destination_option = click.option(
    "--destination", type=Word(["duckdb", "postgres"]), default="duckdb", show_default=True, help="Warehouse."
)
on_budget_option = click.option(
    "--on-budget",
    type=Word(["wait", "stop"]),
    default="wait",
    show_default=True,
    help="When no request is left: wait for the next, or stop with exit code 75.",
)
jobs_option = click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Accounts loaded at once, each in a process of its own.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="For machines: one JSON document.")
