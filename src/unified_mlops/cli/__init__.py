"""`umlops`: the command line. Commands import what they need when they run."""

from __future__ import annotations

import os
import sys
from importlib import import_module

import click

from unified_mlops import __version__
from unified_mlops.errors import UnifiedMLOpsError

_COMMANDS = {
    "init": ("project", "Write unified_mlops.toml here."),
    "doctor": ("project", "Say what is installed, where its stores are and what is wrong."),
    "demo": ("project", "Run the flights story, from raw files to a retrained model."),
    "up": ("servers", "Open the tools' own pages on this workspace."),
    "run": ("run", "Run a command so that what no tool records is recorded."),
    "pipeline": ("pipeline", "See what ran, and why tasks came from the cache or did not."),
    "schedule": ("scheduler", "See and change the schedules of pipelines."),
    "scheduler": ("scheduler", "Run the pipelines whose time has come."),
    "lineage": ("lineage", "Ask where things come from and what depends on them."),
}
TRACEBACK = "UNIFIED_MLOPS_TRACEBACK"


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """The commands in the order of their use."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """One command, imported now."""
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"unified_mlops.cli.{_COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The list of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in _COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="umlops")
@click.option("--traceback", is_flag=True, help="Show where an error came from.")
def cli(traceback: bool) -> None:
    """One Vertex-like facade over the MLOps tools you run, with one lineage graph.

    Shell completion: eval "$(_UMLOPS_COMPLETE=bash_source umlops)", or zsh_source, fish_source.
    """
    if traceback:
        os.environ[TRACEBACK] = "1"


def main() -> None:
    """Run the command line: an error we know is one sentence and a hint, and exit code 2."""
    try:
        cli(prog_name="umlops")
    except UnifiedMLOpsError as error:
        if os.environ.get(TRACEBACK):
            import traceback

            traceback.print_exc()
        else:
            click.echo(f"umlops: {error}", err=True)
        sys.exit(2)
