"""What a walk met, loaded no further than it is looked at."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping, ValuesView
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, Literal, TypeVar

from unified_mlops.lineage.rows import many
from unified_mlops.lineage.store import Evidence
from unified_mlops.lineage.urn import is_column
from unified_mlops.records import ARTIFACTS, EXECUTIONS, Edge, Node

Direction = Literal["up", "down"]
Ends = tuple[str, str, str]
"""The source, kind and target of an edge."""
K = TypeVar("K")
V = TypeVar("V")


class Later(Mapping[K, V], Generic[K, V]):
    """A mapping that is loaded when a value is first looked at.

    Args:
        load: reads it.
        keys: reads only its keys, in the same order, where that is quicker.
    """

    def __init__(
        self, load: Callable[[], Mapping[K, V]], keys: Callable[[], Iterable[K]] | None = None
    ) -> None:
        self._load = load
        self._load_keys = keys

    @cached_property
    def _loaded(self) -> Mapping[K, V]:
        with many():
            return self._load()

    @cached_property
    def _keys(self) -> Mapping[K, Any]:
        if self._load_keys is None or "_loaded" in self.__dict__:
            return self._loaded
        with many():
            return dict.fromkeys(self._load_keys())

    def __getitem__(self, key: K) -> V:
        return self._loaded[key]

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __iter__(self) -> Iterator[K]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def values(self) -> ValuesView[V]:
        """Its values, without asking for each by its key."""
        return self._loaded.values()

    def items(self) -> ItemsView[K, V]:
        """Its keys and values, likewise."""
        return self._loaded.items()


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
        drawn: reads the edges without the steps, where that is quicker.
    """

    root: str
    direction: Direction
    nodes: Mapping[str, Node]
    leaving: Mapping[str, tuple[Step, ...]]
    coarse: frozenset[str] = field(default_factory=frozenset)
    truncated: bool = False
    evidence: Mapping[Ends, tuple[Evidence, ...]] = field(default_factory=dict)
    drawn: Callable[[], Iterable[Edge]] | None = field(default=None, compare=False, repr=False)

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
        leaving = dict(self.leaving.items())
        return tuple(step for uri in self.nodes if uri in leaving for step in leaving[uri])

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """The edges followed, drawn from upstream to downstream, in any order."""
        if self.drawn:
            return tuple(self.drawn())
        return tuple(dict.fromkeys([step.edge for step in self.steps]))

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
