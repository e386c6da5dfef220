"""What two things come from, compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from unified_mlops.lineage.subgraph import Subgraph
from unified_mlops.lineage.urn import is_column
from unified_mlops.records import Node


@dataclass(frozen=True, slots=True)
class Difference:
    """What only one of two walks met.

    Args:
        a: the nodes that only the first thing comes from.
        b: the nodes that only the second thing comes from.
        both: the nodes that both come from.
        changed: the versions of one thing that they come from, one each.
    """

    a: tuple[Node, ...]
    b: tuple[Node, ...]
    both: tuple[Node, ...]
    changed: tuple[tuple[Node, Node], ...]


def difference(a: Subgraph, b: Subgraph) -> Difference:
    """Compare two walks, apart from the things where they began."""
    ours, theirs = _others(a), _others(b)
    only = {uri: node for uri, node in ours.items() if uri not in theirs}
    other = {uri: node for uri, node in theirs.items() if uri not in ours}
    versions = _single(other)
    changed = tuple(
        (node, versions[thing]) for thing, node in _single(only).items() if thing in versions
    )
    paired = {node.uri for pair in changed for node in pair}
    return Difference(
        tuple(node for node in only.values() if node.uri not in paired),
        tuple(node for node in other.values() if node.uri not in paired),
        tuple(node for uri, node in ours.items() if uri in theirs),
        changed,
    )


def _others(walk: Subgraph) -> dict[str, Node]:
    return {uri: node for uri, node in walk.nodes.items() if uri != walk.root}


def _single(nodes: Mapping[str, Node]) -> dict[str, Node]:
    """The versions of things of which there is one version only, by the thing."""
    found: dict[str, list[Node]] = {}
    for uri, node in nodes.items():
        if "@" in uri and not is_column(uri):
            found.setdefault(f"{node.kind} {uri.rpartition('@')[0]}", []).append(node)
    return {thing: versions[0] for thing, versions in found.items() if len(versions) == 1}
