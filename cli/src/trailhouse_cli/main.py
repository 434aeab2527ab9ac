"""The command `trailhouse`: finds the command that was asked for, imports that one alone, and turns errors into a line.

Exit codes: 0 fine; 1 what was asked about is not as it should be (drift found, events lost); 2 bad input or something
that does not answer, said in one line on the standard error; 130 interrupted.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
from typing import Final

import click

from trailhouse_schemas.errors import TrailhouseError

__all__ = ["COMMANDS", "EXIT_BAD_INPUT", "cli", "main"]

EXIT_BAD_INPUT: Final = 2
_EXIT_INTERRUPTED: Final = 130

#: All commands with their one-line help; the module of a command is `trailhouse_cli.commands.NAME`, with _ for -.
COMMANDS: Final = {
    "demo": "A real distributed training job, collected and reported on: the whole path in one go.",
    "run": "Run any command as a run: its start, its end, its parameters, what it uses.",
    "emit": "Record events from any program that can write JSON.",
    "collect": "Land events from Kafka or spools in the warehouse, each exactly once.",
    "dead-letters": "List, show, replay and drop messages that could not be landed.",
    "status": "Show how far a collector is behind, what it lands, and whether it is ready.",
    "forward": "Publish spools to Kafka, also those that dead processes left.",
    "spool": "Show, check and publish what is in the spools of this machine.",
    "runs": "List, show and compare runs; plot their metrics.",
    "cost": "What was allocated, used and idle, and what it cost.",
    "price": "Set and list prices of resources.",
    "audit": "Who may do what, who did what, and what needs attention.",
    "grant": "Grant somebody a permission.",
    "revoke": "Take a grant back.",
    "drift": "Compare two datasets, profiles or files: has the data moved?",
    "verify": "The accounting of loss: is every event there, once?",
    "schemas": "Generate, check and register the Avro schemas.",
    "topics": "Make and check the topics of the catalogue on Kafka.",
    "warehouse": "Serve an embedded warehouse to several programs; back it up, and make it again.",
    "rewind": "Set a collector group back to what the warehouse holds, after a restore from a backup.",
    "migrate": "Bring the warehouse to the tables of this version.",
    "doctor": "Show the settings in force, where each comes from, and what does not answer.",
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called, so that `--help` is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import one command; None when there is no such."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"trailhouse_cli.commands.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        command.name = cmd_name
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="trailhouse-cli", prog_name="trailhouse")
def cli() -> None:
    """Trailhouse: the trail every training run leaves, in a house you can question.

    Settings come from flags, else from the environment (TRAILHOUSE_…), else from trailhouse.toml;
    'trailhouse doctor' shows them.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    try:
        code = cli.main(args=arguments, prog_name="trailhouse", standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(_EXIT_INTERRUPTED)
    except click.ClickException as error:
        if error.exit_code == EXIT_BAD_INPUT and isinstance(error, click.UsageError) and error.ctx is not None:
            click.echo(f"trailhouse: {error.format_message()} (see '{error.ctx.command_path} --help')", err=True)
        else:
            click.echo(f"trailhouse: {error.format_message()}", err=True)
        sys.exit(error.exit_code)
    except TrailhouseError as error:
        click.echo(f"trailhouse: {' '.join(str(error).split())}", err=True)
        sys.exit(EXIT_BAD_INPUT)
    except KeyboardInterrupt:
        sys.exit(_EXIT_INTERRUPTED)
    except SystemExit as ended:  # click ends with 1 when nobody reads any more, which says here that something is wrong
        if getattr(ended.__context__, "errno", None) != errno.EPIPE:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        said = _outside(error)
        if said is None:
            raise
        click.echo(f"trailhouse: {' '.join(said.split())}", err=True)
        sys.exit(EXIT_BAD_INPUT)
    sys.exit(code if isinstance(code, int) else 0)


def _outside(error: Exception) -> str | None:
    """Return what to say of an error that a file or the warehouse's server made, not we; None for all others."""
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}; mend that, or name another place ('trailhouse doctor' shows all)"
    driver = sys.modules.get("clickhouse_connect.driver.exceptions")
    if driver is not None and isinstance(error, driver.Error):
        return f"Warehouse refused or went away: {(str(error).splitlines() or [''])[0]:.300}; see 'trailhouse doctor'"
    return None
