"""What a walk met, loaded no further than it is looked at."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, Literal, TypeVar

from unified_mlops.lineage.store import Evidence
from unified_mlops.lineage.urn import is_column
from unified_mlops.records import ARTIFACTS, EXECUTIONS, Edge, Node

Direction = Literal["up", "down"]
Ends = tuple[str, str, str]
"""The source, kind and target of an edge."""
K = TypeVar("K")
V = TypeVar("V")


class Later(Mapping[K, V], Generic[K, V]):
    """A mapping that is loaded when a value is first looked at, each value made on its own.

    Args:
        keys: its keys, where they are known before it is loaded.
        load: reads what the values are made from.
        make: makes a value.
    """

    def __init__(
        self, keys: Iterable[K], load: Callable[[], Mapping[K, Any]], make: Callable[[Any], V]
    ) -> None:
        self._keys = dict.fromkeys(keys)
        self._load = load
        self._make = make
        self._values: dict[K, V] = {}

    @cached_property
    def _loaded(self) -> Mapping[K, Any]:
        return self._load()

    def __getitem__(self, key: K) -> V:
        if key not in self._values:
            self._values[key] = self._make(self._loaded[key])
        return self._values[key]

    def __contains__(self, key: object) -> bool:
        return key in (self._keys or self._loaded)

    def __iter__(self) -> Iterator[K]:
        return iter(self._keys or self._loaded)

    def __len__(self) -> int:
        return len(self._keys or self._loaded)


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
        leaving: the steps that leave each node, by URN.
        coarse: URNs met only because a column comes from no column.
        truncated: whether `max_nodes` stopped it.
        evidence: who says that each edge is there, strongest first.
    """

    root: str
    direction: Direction
    nodes: Mapping[str, Node]
    leaving: Mapping[str, tuple[Step, ...]]
    coarse: frozenset[str] = field(default_factory=frozenset)
    truncated: bool = False
    evidence: Mapping[Ends, tuple[Evidence, ...]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, root: str, direction: Direction, nodes: Mapping[str, Node], steps: Iterable[Step]
    ) -> Subgraph:
        """The subgraph of steps that are all known."""
        leaving: dict[str, tuple[Step, ...]] = {}
        for step in steps:
            leaving[step.here] = (*leaving.get(step.here, ()), step)
        return cls(root, direction, nodes, leaving)

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """The edges that were followed, those of the nearest nodes first."""
        return tuple(step for uri in self.nodes for step in self.next(uri))

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """The edges followed, drawn from upstream to downstream."""
        return tuple(dict.fromkeys(step.edge for step in self.steps))

    def next(self, uri: str) -> tuple[Step, ...]:
        """The steps that leave a node."""
        return self.leaving.get(uri, ())

    def of_kind(self, *kinds: str) -> list[Node]:
        """The nodes of these kinds, nearest first."""
        return [node for node in self.nodes.values() if node.kind in kinds]

    @property
    def artifacts(self) -> list[Node]:
        """The nodes that are artifacts, as in Vertex's `LineageSubgraph`."""
        return self.of_kind(*ARTIFACTS)

    @property
    def executions(self) -> list[Node]:
        """The nodes that are executions, as in Vertex's `LineageSubgraph`."""
        return self.of_kind(*EXECUTIONS)

    @property
    def events(self) -> list[Edge]:
        """The edges between artifacts and executions, as in Vertex's `LineageSubgraph`."""
        return [edge for edge in self.edges if edge.kind in ("INPUT", "OUTPUT")]

    @property
    def source_columns(self) -> list[Node]:
        """The columns that come from no column, where a walk up the column plane ends."""
        derived = {edge.target for edge in self.edges if is_column(edge.source)}
        return [node for node in self.of_kind("column") if node.uri not in derived]

    def way_to(self, goal: str) -> Subgraph:
        """The shortest way from the root to one node, empty where there is none."""
        came: dict[str, Step] = {}
        queue = deque([self.root])
        while queue and goal not in came and goal != self.root:
            for step in self.next(queue.popleft()):
                if step.there not in came and step.there != self.root:
                    came[step.there] = step
                    queue.append(step.there)
        steps: list[Step] = []
        here = goal
        while here in came:
            steps.insert(0, came[here])
            here = came[here].here
        met = [here, *(step.there for step in steps)] if here == self.root else []
        nodes = {uri: self.nodes[uri] for uri in met}
        leaving = {step.here: (step,) for step in steps}
        coarse = self.coarse & frozenset(nodes)
        return Subgraph(self.root, self.direction, nodes, leaving, coarse, evidence=self.evidence)
