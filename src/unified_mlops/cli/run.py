"""`umlops run`: a native command, run so that what no tool records is recorded."""

from __future__ import annotations

import os
import sys

import click


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("command", nargs=-1, type=click.UNPROCESSED, required=True, metavar="-- COMMAND…")
def run(command: tuple[str, ...]) -> None:
    """Run COMMAND as it is, with the tools in its Python processes instrumented.

    Feature retrievals are stamped on the frames that they return and logged as inputs of the
    active MLflow run; what Ray Data reads and writes is noted. The command takes this process
    over: its exit code and its signals are its own.
    """
    from unified_mlops import instrument
    from unified_mlops.config import PREFIX, WORKER, Config

    variables = instrument.environment(os.environ)
    if WORKER not in variables:
        variables[f"{PREFIX}WORKSPACE"] = str(Config.load().workspace)
    sys.stdout.flush()
    try:
        os.execvpe(command[0], command, variables)
    except FileNotFoundError:
        click.echo(f"umlops: there is no command {command[0]!r}", err=True)
        sys.exit(127)  # as shells have it
    except OSError as error:
        click.echo(f"umlops: {command[0]!r} cannot be run: {error.strerror}", err=True)
        sys.exit(126)
