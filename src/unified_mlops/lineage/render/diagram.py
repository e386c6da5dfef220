"""A walk as text that Mermaid and Graphviz draw; a node's id is its number, so none collide."""

from __future__ import annotations

from unified_mlops.lineage.render.words import interval, printable, summary, title
from unified_mlops.lineage.subgraph import Subgraph
from unified_mlops.records import EXECUTIONS, Edge

_INSIDE = frozenset("_-.:/,")


def mermaid(subgraph: Subgraph) -> str:
    """The walk as a Mermaid flowchart, from upstream on the left to downstream on the right."""
    ids, edges = _ids(subgraph), _edges(subgraph)
    lines = [f"%% {summary(subgraph)}", "flowchart LR"]
    for uri, number in ids.items():
        text = "<br/>".join(map(_mermaid_text, _label(subgraph, uri)))
        opening, closing = ('(["', '"])') if _is_execution(subgraph, uri) else ('["', '"]')
        lines.append(f"  {number}{opening}{text}{closing}")
    for edge in edges:
        line = "-.->" if edge.level == "inferred" else "-->"
        text = "<br/>".join(map(_mermaid_text, _words(edge)))
        lines.append(f'  {ids[edge.source]} {line}|"{text}"| {ids[edge.target]}')
    lines.append("  classDef coarse stroke-dasharray: 4 3")
    lines += [f"  class {ids[uri]} coarse" for uri in ids if uri in subgraph.coarse]
    if subgraph.root in ids:
        lines += ["  classDef root stroke-width: 3px", f"  class {ids[subgraph.root]} root"]
    return "\n".join(lines) + "\n"


def dot(subgraph: Subgraph) -> str:
    """The walk as a Graphviz digraph, from upstream on the left to downstream on the right."""
    ids, edges = _ids(subgraph), _edges(subgraph)
    lines = [
        "digraph lineage {",
        f"  graph [rankdir=LR, label={_quoted(summary(subgraph))}]",
        '  node [shape=box, fontname="sans-serif"]',
        '  edge [fontname="sans-serif", fontsize=10]',
    ]
    for uri, number in ids.items():
        text = _quoted(*_label(subgraph, uri))
        style = ["rounded"] if _is_execution(subgraph, uri) else []
        style += ["dashed"] if uri in subgraph.coarse else []
        style += ["bold"] if uri == subgraph.root else []
        look = f', style="{",".join(style)}"' if style else ""
        lines.append(f"  {number} [label={text}, tooltip={_quoted(uri)}{look}]")
    for edge in edges:
        look = ", style=dotted" if edge.level == "inferred" else ""
        ends = f"{ids[edge.source]} -> {ids[edge.target]}"
        lines.append(f"  {ends} [label={_quoted(*_words(edge))}{look}]")
    return "\n".join([*lines, "}", ""])


def _ids(subgraph: Subgraph) -> dict[str, str]:
    return {uri: f"n{number}" for number, uri in enumerate(subgraph.nodes)}


def _edges(subgraph: Subgraph) -> list[Edge]:
    """The edges whose both ends are in the walk: where it was truncated some have one only."""
    nodes = subgraph.nodes
    return [edge for edge in subgraph.edges if edge.source in nodes and edge.target in nodes]


def _is_execution(subgraph: Subgraph, uri: str) -> bool:
    return subgraph.nodes[uri].kind in EXECUTIONS


def _label(subgraph: Subgraph, uri: str) -> list[str]:
    kind = subgraph.nodes[uri].kind.replace("_", " ")
    return [f"{kind} (coarse)" if uri in subgraph.coarse else kind, title(subgraph, uri)]


def _words(edge: Edge) -> list[str]:
    return [f"{edge.kind} {edge.level}", *filter(None, [interval(edge)])]


def _mermaid_text(text: str) -> str:
    """A text in which nothing is syntax, Markdown or markup: what might be stands as its number."""
    text = printable(text)

    def plain(at: int, c: str) -> bool:
        within = text[at - 1 : at].isalnum() and text[at + 1 : at + 2].isalnum()
        return c.isalnum() or c == " " or (c in _INSIDE and within)

    return "".join(c if plain(at, c) else f"#{ord(c)};" for at, c in enumerate(text))


def _quoted(*lines: str) -> str:
    """A string of Graphviz's language; it knows escapes as well as HTML's entities."""
    safe = [
        printable(line).replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")
        for line in lines
    ]
    return '"' + "\\n".join(safe) + '"'
