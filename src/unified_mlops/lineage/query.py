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


@dataclass(frozen=True, slots=True)
class Step:
    """An edge as a walk followed it; `FIELD` is followed both ways, any other edge one way."""

    edge: Edge
    here: str
    there: str


@dataclass(frozen=True)
class Subgraph:
    """What a walk met.

    Args:
        root: where it started.
        direction: which way it went.
        nodes: by URN, nearest first.
        steps: the edges in the order they were followed, each with the ends it led from and to.
        coarse: URNs met only because a column comes from no column.
        truncated: whether `max_nodes` stopped it.
    """

    root: str
    direction: Direction
    nodes: Mapping[str, Node]
    steps: tuple[Step, ...]
    coarse: frozenset[str] = field(default_factory=frozenset)
    truncated: bool = False

    @property
    def edges(self) -> tuple[Edge, ...]:
        """The edges followed, drawn from upstream to downstream."""
        return tuple(dict.fromkeys(step.edge for step in self.steps))

    def of_kind(self, *kinds: str) -> list[Node]:
        """The nodes of these kinds, nearest first."""
        return [node for node in self.nodes.values() if node.kind in kinds]

    @property
    def source_columns(self) -> list[Node]:
        """The columns that come from no column, where a walk up the column plane ends."""
        derived = {edge.target for edge in self.edges if is_column(edge.source)}
        return [node for node in self.of_kind("column") if node.uri not in derived]

    def next(self, uri: str) -> list[Step]:
        """The steps that leave a node."""
        return [step for step in self.steps if step.here == uri and step.there in self.nodes]


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
    shown = {uri: nodes[uri] for uri in walker.seen if uri in nodes}
    coarse = frozenset(uri for uri, precise in walker.seen.items() if not precise)
    steps = tuple(dict.fromkeys(walker.steps))
    return Subgraph(root, direction, shown, steps, coarse, walker.truncated)


def path(subgraph: Subgraph, goal: str) -> Subgraph:
    """The shortest way through a subgraph from its root to one node, empty where there is none."""
    came: dict[str, Step] = {}
    queue = deque([subgraph.root])
    while queue and goal not in came and goal != subgraph.root:
        for step in subgraph.next(queue.popleft()):
            if step.there not in came and step.there != subgraph.root:
                came[step.there] = step
                queue.append(step.there)
    steps: list[Step] = []
    here = goal
    while here in came:
        steps.insert(0, came[here])
        here = came[here].here
    met = [here, *(step.there for step in steps)] if here == subgraph.root else []
    nodes = {uri: subgraph.nodes[uri] for uri in met}
    coarse = subgraph.coarse & frozenset(nodes)
    return Subgraph(subgraph.root, subgraph.direction, nodes, tuple(steps), coarse)


class _Walker:
    """One walk: what was seen, whether precisely, and the steps taken."""

    def __init__(self, store: Store, direction: Direction, level: Level, max_nodes: int) -> None:
        self._store = store
        self._up = direction == "up"
        self._level = level
        self._room = max_nodes
        self.seen: dict[str, bool] = {}
        self.steps: list[Step] = []
        self.truncated = False

    def table(self, start: list[str], precise: bool = True) -> None:
        """Walk on among things."""
        frontier = self._enter(start, precise)
        while frontier:
            steps = [step for step in self._leaving(frontier) if not in_column_plane(step.edge)]
            frontier = self._follow(steps, precise)

    def column(self, start: list[str]) -> None:
        """Walk from column to column; from a thing, first go to where columns are."""
        columns = [uri for uri in start if is_column(uri)]
        things = [uri for uri in start if uri not in columns]
        frontier = self._enter(columns) + self._to_columns(things)
        while frontier:
            steps = [step for step in self._leaving(frontier) if in_column_plane(step.edge)]
            ended = [uri for uri in frontier if uri not in {step.here for step in steps}]
            met = self._follow(steps)
            self._fall_back(ended)
            frontier = [uri for uri in met if is_column(uri)]
            self.table([uri for uri in met if not is_column(uri)])

    def _to_columns(self, things: list[str]) -> list[str]:
        """Walk among things until they have columns, and return these."""
        frontier = self._enter(things)
        columns: list[str] = []
        while frontier:
            fields = [
                Step(edge, edge.source, edge.target)
                for edge in self._store.edges("source", frontier, self._level)
                if edge.kind == "FIELD"
            ]
            direct = [step for step in self._leaving(frontier) if in_column_plane(step.edge)]
            columns += self._follow([*fields, *direct])
            entered = {step.here for step in (*fields, *direct)}
            rest = [uri for uri in frontier if uri not in entered]
            onward = [step for step in self._leaving(rest) if not in_column_plane(step.edge)]
            frontier = self._follow(onward)
        return [uri for uri in columns if is_column(uri)]

    def _fall_back(self, columns: Iterable[str]) -> None:
        """Go on from the owners of columns that lead to no column."""
        for uri in columns:
            thing = owner(uri)
            self.steps.append(Step(Edge(thing, "FIELD", uri, "derived"), uri, thing))
            self.table([thing], precise=not self._up)

    def _leaving(self, frontier: list[str]) -> list[Step]:
        """The steps from these nodes in the walk's direction, within a plane."""
        edges = self._store.edges("target" if self._up else "source", frontier, self._level)
        barred = {"FIELD"} if self._up else {"FIELD", *_CLIMBED_ONLY}
        return [
            Step(edge, *((edge.target, edge.source) if self._up else (edge.source, edge.target)))
            for edge in edges
            if edge.kind not in barred
        ]

    def _follow(self, steps: list[Step], precise: bool = True) -> list[str]:
        self.steps += steps
        return self._enter([step.there for step in steps], precise)

    def _enter(self, uris: list[str], precise: bool = True) -> list[str]:
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
