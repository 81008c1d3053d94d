"""The ``toolkit`` command. Each subcommand is a module of its own, imported only when it runs."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click

from toolkit import __version__
from toolkit.errors import UsageError

_COMMANDS = {
    "plugins": "Trackers that are installed here, and new ones.",
    "runs": "Look at recorded runs.",
    "sweep": "Search for hyper-parameters, every trial a tracked run.",
    "sync": "Deliver what is still owed, or tell a run to another backend.",
    "track": "Run any command as a tracked run.",
}


class LazyGroup(click.Group):
    """Knows its commands by name and one line, and imports the one that is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names."""
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of this command."""
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"toolkit.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from their one line each, importing none."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(_COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Turn an error that the user can act on into a message and exit code 2."""
        try:
            return super().invoke(ctx)
        except UsageError as error:
            click.echo(f"toolkit: {error}", err=True)
            sys.exit(2)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="toolkit")
def main() -> None:
    """Record experiments on this machine; deliver them to any tracker."""
    _open_closed_streams()


def _open_closed_streams() -> None:
    """Where a shell closed one of the three streams, the next file opened would become it."""
    for stream in (0, 1, 2):
        try:
            os.fstat(stream)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
