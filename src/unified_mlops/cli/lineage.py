"""`umlops lineage`: ask where things come from and what depends on them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unified_mlops.cli.collect import collected, commands
from unified_mlops.files import write_whole

if TYPE_CHECKING:
    from rich.console import RenderableType

    from unified_mlops.lineage.subgraph import Subgraph

_PLANE = click.option(
    "--plane",
    type=click.Choice(["table", "column"]),
    default="table",
    show_default=True,
    help="Among things, or from column to column.",
)
_LIMITS = (
    click.option("--as-of", type=click.DateTime(), help="The graph as it stood then."),
    click.option(
        "--min-level",
        type=click.Choice(["declared", "recorded", "derived", "inferred"]),
        default="derived",
        show_default=True,
        help="The weakest evidence to follow.",
    ),
    click.option("--max-nodes", type=click.IntRange(1), default=100_000, show_default=True),
)
_SHOWN = (
    click.option(
        "--format",
        "form",
        type=click.Choice(["tree", "json", "mermaid", "dot", "html"]),
        default="tree",
        show_default=True,
    ),
    click.option(
        "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to a file."
    ),
)


def _options(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Several options as one decorator, in the order in which the help shows them."""

    def add(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return add


@click.group()
def lineage() -> None:
    """Ask where things come from and what depends on them.

    A THING is a URN, a path, models:/name/version, models:/name@alias or the name of a node;
    THING#column is a column.
    """


for _command in commands:
    lineage.add_command(_command)


@lineage.command()
@click.argument("thing")
@_options(_PLANE, *_LIMITS, *_SHOWN)
def up(thing: str, form: str, output: Path | None, **limits: Any) -> None:
    """Where THING comes from."""
    _show(collected().lineage.upstream(thing, **_asked(limits)), form, output)


@lineage.command()
@click.argument("thing")
@_options(_PLANE, *_LIMITS, *_SHOWN)
def down(thing: str, form: str, output: Path | None, **limits: Any) -> None:
    """What depends on THING."""
    _show(collected().lineage.downstream(thing, **_asked(limits)), form, output)


@lineage.command()
@click.argument("source")
@click.argument("target")
@_options(_PLANE, *_LIMITS, *_SHOWN)
def path(source: str, target: str, form: str, output: Path | None, **limits: Any) -> None:
    """The shortest way from SOURCE down to TARGET."""
    _show(collected().lineage.path(source, target, **_asked(limits)), form, output)


@lineage.command()
@click.argument("context")
@_options(*_SHOWN)
def contents(context: str, form: str, output: Path | None) -> None:
    """What belongs to CONTEXT (an experiment, run, pipeline) and what that read and wrote."""
    _show(collected().lineage.contents(context), form, output)


@lineage.command()
@click.argument("column")
@_options(*_LIMITS)
def impact(column: str, **limits: Any) -> None:
    """What a change of COLUMN reaches, as a table; what only its table reaches is coarse."""
    from rich.table import Table

    from unified_mlops.lineage.render import title

    found = collected().lineage.impact(column, **_asked(limits))
    table = Table("kind", "what", "how", title=f"impact of {title(found, found.root)}")
    for uri, node in found.nodes.items():
        if uri != found.root:
            table.add_row(node.kind, title(found, uri), "coarse" if uri in found.coarse else "")
    _print(table)


@lineage.command()
@click.argument("source")
@click.argument("target")
def explain(source: str, target: str) -> None:
    """Why the graph has an edge from SOURCE to TARGET."""
    from rich.table import Table

    table = Table("edge", "level", "collector", "rule", "native record")
    for edge, evidence in collected().lineage.explain(source, target).items():
        for item in evidence:
            table.add_row(edge.kind, item.level, item.collector, item.rule, item.key)
    _print(table)


@lineage.command()
@click.argument("a")
@click.argument("b")
@_options(_PLANE, *_LIMITS)
def diff(a: str, b: str, **limits: Any) -> None:
    """What A and B come from, compared."""
    from rich.table import Table

    found = collected().lineage.diff(a, b, **_asked(limits))
    table = Table("kind", f"only {a}", f"only {b}", title=f"{len(found.both)} in common")
    for ours, theirs in found.changed:
        table.add_row(f"{ours.kind} (changed)", ours.name, theirs.name)
    for node in found.a:
        table.add_row(node.kind, node.name, "")
    for node in found.b:
        table.add_row(node.kind, "", node.name)
    _print(table)


def _asked(limits: dict[str, Any]) -> dict[str, Any]:
    """The limits as the API takes them; a moment is of the local time zone."""
    moment: datetime | None = limits["as_of"]
    return limits | {"as_of": moment.astimezone() if moment else None}


def _show(subgraph: Subgraph, form: str, output: Path | None) -> None:
    from unified_mlops.lineage import render

    if form == "tree" and not output:
        _print(render.tree(subgraph))
        return
    text = {
        "tree": lambda: _plain(render.tree(subgraph)),
        "json": lambda: json.dumps(render.as_dict(subgraph), indent=1),
        "mermaid": lambda: render.mermaid(subgraph),
        "dot": lambda: render.dot(subgraph),
        "html": lambda: render.html([(render.title(subgraph, subgraph.root), subgraph)]),
    }[form]()
    if output:
        write_whole(output, text)
    else:
        click.echo(text)


def _print(shown: RenderableType) -> None:
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 200).print(shown)


def _plain(shown: RenderableType) -> str:
    from rich.console import Console

    console = Console(width=200)
    with console.capture() as capture:
        console.print(shown)
    return capture.get()
