"""A graph, sorted by what OpenLineage events have to say of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from unified_mlops.lineage.openlineage.naming import thing_of
from unified_mlops.lineage.urn import is_column, owner
from unified_mlops.records import ARTIFACTS, EXECUTIONS, Edge, Node

RUNS = EXECUTIONS | {"pipeline_run"}
_DATASETS = ARTIFACTS - {"column"}
_CLOSEST = ("run", "task", "job", *sorted(EXECUTIONS), "pipeline_run", "pipeline", "experiment")
"""Which of several parents is told, as OpenLineage has room for one."""


class Told:
    """A graph, sorted by what an event has to say of it.

    Args:
        nodes: the nodes by URN.
        edges: the edges.

    Attributes:
        inputs: what each execution read, perhaps columns.
        outputs: what each execution wrote, without columns.
        sources: what each artifact was derived from as a whole, perhaps columns.
        fields: what each column of an artifact was derived from.
        columns: the columns of each artifact.
    """

    def __init__(self, nodes: Mapping[str, Node], edges: Iterable[Edge]) -> None:
        self.nodes = nodes
        self.inputs: defaultdict[str, set[str]] = defaultdict(set)
        self.outputs: defaultdict[str, set[str]] = defaultdict(set)
        self.sources: defaultdict[str, set[str]] = defaultdict(set)
        self.fields: defaultdict[str, dict[str, set[str]]] = defaultdict(dict)
        self.columns: defaultdict[str, set[str]] = defaultdict(set)
        self._parents: defaultdict[str, set[str]] = defaultdict(set)
        for edge in edges:
            if edge.level != "inferred":
                self._sort(edge)
        found = {uri for uri, node in nodes.items() if node.kind in RUNS}
        self.runs = found | self.inputs.keys() | self.outputs.keys()
        self.derived = self.sources.keys() | self.fields.keys()
        self._covered: defaultdict[str, set[str]] = defaultdict(set)
        for run in self.runs:
            read = {thing_of(uri) for uri in self.inputs[run]}
            whole = {uri for uri in self.outputs[run] & self.derived if self.made_of(uri) <= read}
            self._covered[run] |= whole
        self.derived -= {uri for made in self._covered.values() for uri in made}

    def _sort(self, edge: Edge) -> None:
        source, target = edge.source, edge.target
        if edge.kind == "FIELD":
            self.columns[source].add(target)
        elif edge.kind == "PARENT_OF":
            self._parents[target].add(source)
        elif edge.kind == "INPUT":
            self.inputs[target].add(source)
        elif edge.kind == "OUTPUT":
            self.outputs[source].add(thing_of(target))
        elif edge.kind in ("DERIVES", "OBSERVES") and is_column(target):
            self.fields[owner(target)].setdefault(target, set()).add(source)
        elif edge.kind in ("DERIVES", "OBSERVES"):
            self.sources[target].add(source)

    def made_of(self, uri: str) -> set[str]:
        """The things from which an artifact and its columns were derived."""
        every = [self.sources.get(uri, set()), *self.fields.get(uri, {}).values()]
        return {thing_of(source) for some in every for source in some}

    def derives(self, run: str, uri: str) -> bool:
        """Whether a run read all that an artifact, which it wrote, was derived from."""
        return uri in self._covered.get(run, ())

    def parent(self, uri: str) -> str | None:
        """The closest of its parents."""

        def rank(parent: str) -> tuple[int, str]:
            kind = self.node(parent).kind
            return (_CLOSEST.index(kind) if kind in _CLOSEST else len(_CLOSEST), parent)

        return min(self._parents.get(uri, ()), key=rank, default=None)

    def root(self, uri: str) -> str:
        """The outermost of its parents' parents."""
        seen = {uri}
        while (above := self.parent(uri)) and above not in seen:
            seen.add(above)
            uri = above
        return uri

    def alone(self) -> set[str]:
        """Artifacts that stand in no run and in no derivation."""
        told = {thing_of(uri) for some in self.inputs.values() for uri in some}
        told |= {uri for some in self.outputs.values() for uri in some}
        for made in self.derived:
            told |= self.made_of(made) | {made}
        return {
            uri for uri, node in self.nodes.items() if node.kind in _DATASETS and uri not in told
        }

    def node(self, uri: str) -> Node:
        """A node, or what can be said of one that nobody described."""
        return self.nodes.get(uri) or Node(uri, "unknown", uri)

    def in_order(self, uris: Iterable[str]) -> list[str]:
        """Oldest first, then by URN."""
        return sorted(uris, key=lambda uri: (self.node(uri).time or 0.0, uri))
