"""`umlops lineage`: collect from the tools, and ask."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unified_mlops.files import write_whole

if TYPE_CHECKING:
    from unified_mlops.lineage.query import Subgraph
    from unified_mlops.session import Session

_PLANE = click.option(
    "--plane", type=click.Choice(["table", "column"]), default="table", show_default=True
)
_FORMAT = click.option(
    "--format", "form", type=click.Choice(["tree", "json", "html"]), default="tree"
)
_OUTPUT = click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to a file."
)


def _shown(command: Any) -> Any:
    """The options that every question takes."""
    return _PLANE(_FORMAT(_OUTPUT(command)))


@click.group()
def lineage() -> None:
    """Ask where things come from and what depends on them.

    A THING is a URN, a path, models:/name/version or the name of a node; path#column is a column.
    """


@lineage.command()
def collect() -> None:
    """Read what is new in the tools' own stores."""
    session, failures = _collected()
    nodes, edges = len(session.lineage.store.nodes()), len(session.lineage.store.edges())
    click.echo(f"{nodes} nodes, {edges} edges")
    for item in session.lineage.store.unresolved():
        click.echo(f"unresolved: {item['reference']} ({item['collector']} {item['key']})")
    if failures:
        raise SystemExit(1)


@lineage.command()
def rebuild() -> None:
    """Project the graph again from its observations."""
    from unified_mlops.session import Session

    Session().lineage.rebuild()


@lineage.command()
@click.argument("thing")
@_shown
def up(thing: str, plane: Any, form: str, output: Path | None) -> None:
    """Where THING comes from."""
    session, _ = _collected()
    _show(session.lineage.upstream(thing, plane=plane), form, output)


@lineage.command()
@click.argument("thing")
@_shown
def down(thing: str, plane: Any, form: str, output: Path | None) -> None:
    """What depends on THING."""
    session, _ = _collected()
    _show(session.lineage.downstream(thing, plane=plane), form, output)


@lineage.command()
@click.argument("source")
@click.argument("target")
@_shown
def path(source: str, target: str, plane: Any, form: str, output: Path | None) -> None:
    """The shortest way from SOURCE down to TARGET."""
    session, _ = _collected()
    _show(session.lineage.path(source, target, plane=plane), form, output)


def _collected() -> tuple[Session, Any]:
    """A session whose graph is up to date, saying which tools could not be read."""
    from unified_mlops.session import Session

    session = Session()
    failures = session.lineage.collect()
    for plugin, error in failures.items():
        click.echo(f"not collected: {plugin}: {error}", err=True)
    return session, failures


def _show(subgraph: Subgraph, form: str, output: Path | None) -> None:
    from rich.console import Console

    from unified_mlops.lineage import render

    if form == "tree":
        console = Console(width=None if sys.stdout.isatty() and not output else 200)
        with console.capture() as capture:
            console.print(render.tree(subgraph))
        text = capture.get()
    elif form == "html":
        text = render.html([(subgraph.root, subgraph)])
    else:
        text = json.dumps(render.as_dict(subgraph), indent=1)
    if output:
        write_whole(output, text)
    else:
        click.echo(text)
