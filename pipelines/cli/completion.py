"""`calls completion`: the script by which a shell completes commands, options and account names."""

import sys

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that lets SHELL complete commands and options. Load it when the shell starts."""
    found = get_completion_class(shell)
    if found is not None:
        script = found(context.find_root().command, {}, "calls", "_CALLS_COMPLETE")
        sys.stdout.write(script.source())
