"""A walk of the graph as a tree for the terminal, as JSON, and as a page in one file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from unified_mlops.lineage.query import Subgraph
from unified_mlops.lineage.urn import is_column, owner

if TYPE_CHECKING:
    from rich.tree import Tree


def tree(subgraph: Subgraph) -> Tree:
    """The walk as a tree; what was drawn before is named again and not repeated."""
    from rich.text import Text
    from rich.tree import Tree

    drawn: set[str] = set()

    def label(uri: str, how: str) -> Text:
        node = subgraph.nodes[uri]
        text = Text(f"{how} " if how else "", style="dim")
        text.append(f"{node.kind} ", style="cyan").append(title(subgraph, uri), style="bold")
        if uri in subgraph.coarse:
            text.append(" (coarse)", style="yellow")
        return text

    def grow(branch: Tree, uri: str) -> None:
        drawn.add(uri)
        for step in subgraph.next(uri):
            dotted = "┄" if step.edge.level == "inferred" else ""
            twig = branch.add(label(step.there, f"{dotted}{step.edge.kind} {step.edge.level}"))
            if step.there not in drawn:
                grow(twig, step.there)
            elif subgraph.next(step.there):
                twig.add(Text("… as above", style="dim"))

    top = Tree(label(subgraph.root, ""))
    grow(top, subgraph.root)
    if subgraph.truncated:
        top.add(Text("truncated: the graph goes on", style="red"))
    return top


def title(subgraph: Subgraph, uri: str) -> str:
    """What a person calls a node: its name, and for a column also what it belongs to."""
    name = subgraph.nodes[uri].name
    if not is_column(uri):
        return name or uri
    thing = owner(uri)
    table = subgraph.nodes[thing].name if thing in subgraph.nodes else thing.rpartition("/")[2]
    return f"{table}#{uri.rpartition('#')[2]}"


def as_dict(subgraph: Subgraph) -> dict[str, Any]:
    """The walk as plain values."""
    return {
        "root": subgraph.root,
        "direction": subgraph.direction,
        "truncated": subgraph.truncated,
        "nodes": [
            asdict(node) | {"title": title(subgraph, uri), "coarse": uri in subgraph.coarse}
            for uri, node in subgraph.nodes.items()
        ],
        "edges": [
            asdict(step.edge) | {"here": step.here, "there": step.there} for step in subgraph.steps
        ],
    }


def html(sections: Sequence[tuple[str, Subgraph]], heading: str = "Lineage") -> str:
    """The walks as one page that needs no network.

    Args:
        sections: a title and a walk for each tab.
        heading: the page's title.
    """
    data = {
        "heading": heading,
        "sections": [{"title": name, **as_dict(subgraph)} for name, subgraph in sections],
    }
    text = json.dumps(data).replace("<", "\\u003c")  # so that no value can end the script element
    page = files("unified_mlops.lineage").joinpath("page.html").read_text()
    return page.replace("__DATA__", text)
