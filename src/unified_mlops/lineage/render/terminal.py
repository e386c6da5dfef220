"""A walk as a tree for the terminal."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from unified_mlops.lineage.render.words import TRUNCATED, interval, printable, summary, title
from unified_mlops.lineage.subgraph import Step, Subgraph

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree


def tree(subgraph: Subgraph) -> Tree:
    """The walk as a tree; what was drawn before is named again and not repeated."""
    from rich.text import Text
    from rich.tree import Tree

    if subgraph.root not in subgraph.nodes:  # such as a path that does not exist
        return Tree(Text(printable(f"{subgraph.root}: nothing"), style="dim"))
    top = Tree(_label(subgraph, subgraph.root, ""))
    drawn = {subgraph.root}
    stack = [(top, _onward(subgraph, subgraph.root))]
    while stack:  # not by recursion: a chain may be longer than Python's stack
        branch, steps = stack[-1]
        if not steps:
            stack.pop()
            continue
        step = steps.popleft()
        twig = branch.add(_label(subgraph, step.there, _how(step)))
        if step.there not in drawn:
            drawn.add(step.there)
            stack.append((twig, _onward(subgraph, step.there)))
        elif _onward(subgraph, step.there):
            twig.add(Text("… as above", style="dim"))
    if subgraph.truncated:
        top.add(Text(TRUNCATED, style="red"))
    if any(edge.level == "inferred" for edge in subgraph.edges):
        top.add(Text(f"{summary(subgraph)} (┄)", style="dim"))
    return top


def _onward(subgraph: Subgraph, uri: str) -> deque[Step]:
    return deque(step for step in subgraph.next(uri) if step.there in subgraph.nodes)


def _how(step: Step) -> str:
    """By which edge a node was reached; a dotted one is a guess."""
    dotted = "┄" if step.edge.level == "inferred" else ""
    words = [f"{dotted}{step.edge.kind}", step.edge.level, interval(step.edge)]
    return " ".join(filter(None, words))


def _label(subgraph: Subgraph, uri: str, how: str) -> Text:
    from rich.text import Text

    text = Text(f"{how} " if how else "", style="dim")
    text.append(f"{printable(subgraph.nodes[uri].kind)} ", style="cyan")
    text.append(printable(title(subgraph, uri)), style="bold")
    if uri in subgraph.coarse:
        text.append(" (coarse)", style="yellow")
    return text
