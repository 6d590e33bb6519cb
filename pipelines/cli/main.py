"""The command line, `calls`. Exit codes: 0 is success, 2 is usage, the others are in `pipelines.errors`."""

import logging
import os
import sys
from io import StringIO

import click
from dlt.common.configuration.exceptions import ConfigProviderException

from pipelines.cli import look, phone, run, sandbox, setup
from pipelines.cli.completion import completion
from pipelines.cli.lost import lost
from pipelines.cli.options import add_examples
from pipelines.cli.output import say, say_error
from pipelines.errors import CallsError, SettingsError
from pipelines.phone_numbers import mask_numbers


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="call-warehouse")
def cli() -> None:
    """Copies a VoIPcloud PBX's call records into a warehouse, without losing or doubling one.

    \b
    No account yet?     calls demo
    First time?         calls init       asks for the settings; calls doctor checks them, the key and the warehouse
    Every night:        calls run        load, build, publish, report: reads only what is missing
    Is it all there?    calls status
    Whom to call back?  calls lost
    """


for command in (
    *(run.run, run.load, run.build_marts, run.publish_marts, run.make_report),
    *(look.status, look.budget, look.system_status, look.docs, look.dashboard),
    *(lost, phone.dial, setup.init, setup.doctor, sandbox.sandbox, sandbox.demo, completion),
):
    cli.add_command(command)
add_examples(cli)


def main() -> None:
    """Run the command line. Every error becomes its exit code and a line that says what to do."""
    os.umask(0o077)  # every file written holds calls or settings: the user's alone
    logging.raiseExceptions = False  # on a full disk, each line of a log would print a traceback
    try:
        cli(standalone_mode=False, prog_name="calls")
    except CallsError as error:
        say_error(error)
        sys.exit(error.exit_code)
    except ConfigProviderException:
        text = "A file in .dlt/ cannot be read as TOML: check the text and the mode of config.toml and secrets.toml."
        say_error(SettingsError(text))
        sys.exit(SettingsError.exit_code)
    except click.Abort:
        say("Nothing was done.")
        sys.exit(1)
    except click.ClickException as error:
        message = StringIO()
        error.show(message)
        click.echo(mask_numbers(message.getvalue()), nl=False, err=True)  # click quotes what was typed
        sys.exit(error.exit_code)
    except BrokenPipeError:  # `calls status | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
