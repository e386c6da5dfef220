"""Walks of the graph, in two planes.

The table plane joins things: it never crosses `FIELD`. The column plane follows column to column.
A walk on it that starts at a thing goes on the table plane up to the first things that have
columns, and enters by these; where a column comes from no column, it goes on from the column's
owner on the table plane, and what it meets is marked coarse. `PARENT_OF` and `VERSION_OF` are
climbed from child to parent and never descended, or siblings would leak in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from unified_mlops.lineage.store import Store, in_column_plane
from unified_mlops.lineage.urn import is_column, owner
from unified_mlops.records import Edge, Level, Node

Direction = Literal["up", "down"]
Plane = Literal["table", "column"]
_CLIMBED_ONLY = frozenset({"PARENT_OF", "VERSION_OF"})


@dataclass(frozen=True)
class Subgraph:
    """What a walk met.

    Args:
        root: where it started.
        direction: which way it went.
        nodes: by URN, nearest first.
        edges: between them, drawn from upstream to downstream.
        coarse: URNs met only because a column comes from no column.
        truncated: whether `max_nodes` stopped it.
    """

    root: str
    direction: Direction
    nodes: Mapping[str, Node]
    edges: tuple[Edge, ...]
    coarse: frozenset[str] = field(default_factory=frozenset)
    truncated: bool = False

    def of_kind(self, *kinds: str) -> list[Node]:
        """The nodes of these kinds, nearest first."""
        return [node for node in self.nodes.values() if node.kind in kinds]

    @property
    def source_columns(self) -> list[Node]:
        """The columns that come from no column, where a walk up the column plane ends."""
        derived = {edge.target for edge in self.edges if is_column(edge.source)}
        return [node for node in self.of_kind("column") if node.uri not in derived]

    def next(self, uri: str) -> list[tuple[Edge, str]]:
        """The edges that leave a node in the walk's direction, and where they lead."""
        if self.direction == "up":
            return [(edge, edge.source) for edge in self.edges if edge.target == uri]
        return [(edge, edge.target) for edge in self.edges if edge.source == uri]


def walk(
    store: Store,
    root: str,
    direction: Direction,
    plane: Plane,
    level: Level,
    max_nodes: int,
) -> Subgraph:
    """Everything upstream or downstream of a node, breadth first."""
    walker = _Walker(store, direction, level, max_nodes)
    if plane == "table" and not is_column(root):
        walker.table([root])
    else:
        walker.column([root])
    nodes = store.nodes(walker.seen)
    shown = {uri: nodes[uri] for uri in walker.seen}
    coarse = frozenset(uri for uri, precise in walker.seen.items() if not precise)
    edges = tuple(dict.fromkeys(walker.edges))
    return Subgraph(root, direction, shown, edges, coarse, walker.truncated)


def path(subgraph: Subgraph, goal: str) -> Subgraph:
    """The shortest way through a subgraph from its root to one node, empty where there is none."""
    came: dict[str, Edge] = {}
    queue = deque([subgraph.root])
    seen = {subgraph.root}
    while queue and goal not in seen:
        here = queue.popleft()
        for edge, there in subgraph.next(here):
            if there not in seen:
                seen.add(there)
                came[there] = edge
                queue.append(there)
    uris, edges = [goal] if goal in seen else [], []
    while uris and uris[-1] != subgraph.root:
        edge = came[uris[-1]]
        edges.append(edge)
        uris.append(edge.target if subgraph.direction == "up" else edge.source)
    nodes = {uri: subgraph.nodes[uri] for uri in reversed(uris)}
    coarse = subgraph.coarse & frozenset(nodes)
    return Subgraph(subgraph.root, subgraph.direction, nodes, tuple(reversed(edges)), coarse)


class _Walker:
    """One walk: what was seen, whether precisely, and the edges followed."""

    def __init__(self, store: Store, direction: Direction, level: Level, max_nodes: int) -> None:
        self._store = store
        self._near, self._far = ("target", "source") if direction == "up" else ("source", "target")
        self._direction = direction
        self._level = level
        self._room = max_nodes
        self.seen: dict[str, bool] = {}
        self.edges: list[Edge] = []
        self.truncated = False

    def table(self, start: list[str], precise: bool = True) -> None:
        """Walk on among things."""
        frontier = self._enter(start, precise)
        while frontier:
            edges = [edge for edge in self._leaving(frontier) if not in_column_plane(edge)]
            frontier = self._follow(edges, precise)

    def column(self, start: list[str]) -> None:
        """Walk from column to column; from a thing, first go to where columns are."""
        columns = [uri for uri in start if is_column(uri)]
        things = [uri for uri in start if uri not in columns]
        frontier = self._enter(columns, True) + self._to_columns(things)
        while frontier:
            edges = [edge for edge in self._leaving(frontier) if in_column_plane(edge)]
            ended = set(frontier) - {self._end(edge, self._near) for edge in edges}
            met = self._follow(edges, True)
            self._fall_back(uri for uri in ended if is_column(uri))
            frontier = [uri for uri in met if is_column(uri)]
            self.table([uri for uri in met if not is_column(uri)])

    def _to_columns(self, things: list[str]) -> list[str]:
        """Walk among things until they have columns, and return these."""
        frontier = self._enter(things, True)
        columns: list[str] = []
        while frontier:
            direct = [edge for edge in self._leaving(frontier) if in_column_plane(edge)]
            fields = [
                edge
                for edge in self._store.edges("source", frontier, self._level)
                if edge.kind == "FIELD"
            ]
            columns += self._follow(direct, True)
            for edge in fields:
                self.edges.append(edge)
                columns += self._enter([edge.target], True)
            entered = {edge.source for edge in fields} | {
                self._end(edge, self._near) for edge in direct
            }
            rest = [uri for uri in frontier if uri not in entered]
            onward = [edge for edge in self._leaving(rest) if not in_column_plane(edge)]
            frontier = self._follow(onward, True)
        return [uri for uri in columns if is_column(uri)]

    def _fall_back(self, columns: Iterable[str]) -> None:
        """Go on from the owners of columns that lead to no column."""
        for uri in columns:
            thing = owner(uri)
            self.edges.append(Edge(thing, "FIELD", uri, "derived"))
            self.table([thing], precise=self._direction == "down")

    def _leaving(self, frontier: list[str]) -> list[Edge]:
        edges = self._store.edges(self._near, frontier, self._level)
        if self._direction == "down":
            edges = [edge for edge in edges if edge.kind not in _CLIMBED_ONLY]
        return [edge for edge in edges if edge.kind != "FIELD"]

    def _follow(self, edges: list[Edge], precise: bool) -> list[str]:
        self.edges += edges
        return self._enter([self._end(edge, self._far) for edge in edges], precise)

    def _enter(self, uris: list[str], precise: bool) -> list[str]:
        new = []
        for uri in uris:
            if uri in self.seen:
                continue
            if len(self.seen) >= self._room:
                self.truncated = True
                break
            self.seen[uri] = precise
            new.append(uri)
        return new

    @staticmethod
    def _end(edge: Edge, end: str) -> str:
        return edge.source if end == "source" else edge.target
