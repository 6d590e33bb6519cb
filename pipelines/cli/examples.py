"""An example or two for each command's help, tried by a test."""

from collections.abc import Mapping

import click

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
    """Puts each command's examples below its help."""
    for name, command in group.commands.items():
        lines = EXAMPLES.get(name, ())
        command.epilog = "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)]) if lines else None
