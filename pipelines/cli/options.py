"""The options that several commands share, words that suggest the one that was meant, and each command's examples."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import click

from pipelines.errors import did_you_mean
from pipelines.voipcloud.setting_lookup import account_names
from pipelines.warehouse import ENGINES


class Word(click.Choice[str]):
    """One of a few words."""

    def get_invalid_choice_message(self, value: str, ctx: click.Context | None) -> str:
        """click's message, with the word that was meant."""
        return super().get_invalid_choice_message(value, ctx).rstrip(".") + did_you_mean(value, self.choices)


class Parsed(click.ParamType[Any]):
    """What one of the functions returns that parse settings, and raise `ValueError`, saying why."""

    def __init__(self, name: str, parse: Callable[[Any], Any]) -> None:
        self.name, self._parse = name, parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Fails with the reason."""
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)


def _complete_account(_ctx: click.Context, _option: click.Parameter, begun: str) -> list[str]:
    with suppress(Exception):  # whatever is wrong with the settings, completing shows no error
        return [name for name in account_names() if name.startswith(begun)]
    return []


account_option = click.option(
    "--account",
    "accounts",
    multiple=True,
    metavar="A",
    shell_complete=_complete_account,
    help="Only this account; repeatable.",
)
destination_option = click.option(
    "--destination", type=Word(ENGINES), default="duckdb", show_default=True, help="Warehouse."
)
any_destination_option = click.option(
    "--destination",
    metavar="NAME",
    default="duckdb",
    show_default=True,
    shell_complete=lambda _ctx, _option, begun: [name for name in ENGINES if name.startswith(begun)],
    help="Warehouse: duckdb, postgres, or another dlt destination that can replace days.",
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

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "run": ("calls run", "calls run --account sydney --on-budget stop"),
    "load": ("calls load", "calls load --endpoint queue_calls --from 2026-11-01 --to 2026-11-03"),
    "build": ("calls build", "calls build --full-refresh"),
    "publish": ("calls publish",),
    "report": ("calls report", "calls report --out yesterday.html"),
    "dashboard": ("calls dashboard", "calls dashboard --port 0"),
    "docs": ("calls docs",),
    "status": ("calls status", "calls status --account sydney --json"),
    "budget": ("calls budget",),
    "system-status": ("calls system-status",),
    "lost": ("calls lost", "calls lost --queue Sales --limit 10 --show-numbers", "calls lost --dial 201"),
    "dial": ('calls dial 201 "+61 491 570 006"',),
    "init": ("calls init",),
    "doctor": ("calls doctor", "calls doctor --destination postgres"),
    "completion": (
        'eval "$(calls completion bash)"   # in ~/.bashrc',
        'eval "$(calls completion zsh)"    # in ~/.zshrc, after compinit',
        "calls completion fish > ~/.config/fish/completions/calls.fish",
    ),
    "demo": ("calls demo", "calls demo --days 60"),
    "sandbox": ("calls sandbox", "calls sandbox --port 0 --fault 429,retry_after=30,after=2"),
}


def add_examples(group: click.Group) -> None:
    """Put each command's examples below its help."""
    for name, command in group.commands.items():
        lines = EXAMPLES.get(name, ())
        command.epilog = "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)]) if lines else None
