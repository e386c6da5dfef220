"""Walks made by hand, for what shows them."""

from __future__ import annotations

from collections.abc import Iterable

from unified_mlops.lineage.store import Evidence
from unified_mlops.lineage.subgraph import Direction, Step, Subgraph
from unified_mlops.records import Edge, Node

NASTY = (
    "</script><script>window.hacked=1</script>",
    '"><img src=x onerror="window.hacked=1">',
    "javascript:window.hacked=1",
    "'-window.hacked=1-'",
    "<!--<script>",
    "__SCRIPT__ ${window.hacked=1} `window.hacked=1`",
)
"""Names that want to be more than text."""


def subgraph(
    root: str,
    direction: Direction,
    nodes: Iterable[Node],
    edges: Iterable[Edge],
    *,
    coarse: frozenset[str] = frozenset(),
    truncated: bool = False,
) -> Subgraph:
    """A walk along all of these edges, each told by one record that is named after its ends."""
    leaving: dict[str, tuple[Step, ...]] = {}
    evidence = {}
    for edge in edges:
        ends = (edge.source, edge.target)
        here, there = reversed(ends) if direction == "up" else ends
        leaving[here] = (*leaving.get(here, ()), Step(edge, here, there))
        told = Evidence("test", edge.rule or "row", f"record:{ends[0]}>{ends[1]}", edge.level)
        evidence[edge.source, edge.kind, edge.target] = (told,)
    met = {node.uri: node for node in nodes}
    return Subgraph(root, direction, met, leaving, coarse, truncated, evidence)


def nasty() -> Subgraph:
    """A run that read things with hostile names, URNs, attributes, kinds and rules."""
    hostile = [
        Node(f"urn:{i}:{name}", "dataset" if i else name, name, {name: name})
        for i, name in enumerate(NASTY)
    ]
    edges = [Edge(node.uri, "INPUT", "run", "derived", NASTY[0]) for node in hostile]
    return subgraph("run", "up", [Node("run", "run", f"a run of {NASTY[0]}"), *hostile], edges)


def small() -> Subgraph:
    """A model, its run, and what that read: once for sure, once as a guess and for a while."""
    day = 86400.0
    nodes = (
        Node("model", "model", "delay", {"score": 0.8}, 1e9),
        Node("run", "run", "fit"),
        Node("file:///d.csv", "dataset", "d.csv"),
        Node("view", "feature_view", "weather"),
    )
    edges = (
        Edge("run", "OUTPUT", "model"),
        Edge("file:///d.csv", "INPUT", "run", "declared", "declare", 1e9, 1e9 + 9 * day),
        Edge("view", "INPUT", "run", "inferred", "feast-service-tag", 1e9 + 2 * day),
    )
    return subgraph("model", "up", nodes, edges, coarse=frozenset({"view"}), truncated=True)


def large(size: int = 5000, fan: int = 20) -> Subgraph:
    """A tree of datasets; with a fan of one a chain."""
    nodes = [Node(f"file:///{i}.csv", "dataset", f"table {i}") for i in range(size)]
    edges = [Edge(nodes[(i - 1) // fan].uri, "DERIVES", nodes[i].uri) for i in range(1, size)]
    return subgraph(nodes[0].uri, "down", nodes, edges)
