"""What a session offers of the graph: record, collect, ask."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Protocol

from unified_mlops.buffer import Buffer
from unified_mlops.errors import LineageError, NotFoundError
from unified_mlops.lineage import query
from unified_mlops.lineage.declare import edge_kind
from unified_mlops.lineage.query import Direction, Plane, Subgraph
from unified_mlops.lineage.store import Store
from unified_mlops.lineage.urn import canonical, column, owner
from unified_mlops.records import Collection, Edge, Event, Level, Node, Observation, Ref

SESSION = "session"
"""The collector of what was declared through the facade."""


class Collected(Protocol):
    """What the collectors answered, by plugin, and how the others failed."""

    @property
    def answers(self) -> Mapping[str, Collection]:
        """Collections by plugin."""

    @property
    def failures(self) -> Mapping[str, Exception]:
        """Errors by plugin."""


class Lineage:
    """The lineage graph of one workspace.

    Args:
        path: its database.
        collectors: asks every collector for what is new since its cursor.
    """

    def __init__(
        self, path: Path, collectors: Callable[[Mapping[str, str | None]], Collected]
    ) -> None:
        self.store = Store(path)
        self._collectors = collectors
        self._known: set[Event] = set()
        self._events: Buffer[Event] = Buffer(self._write)

    def record(self, event: Event) -> None:
        """Keep an event; the same one again adds nothing."""
        if not event.writes:  # only what writes nothing repeats, such as online reads in a run
            if event in self._known:
                return
            self._known.add(event)
        self._events.add(event)

    def declare(
        self,
        reads: Sequence[str | Path],
        writes: Sequence[str | Path],
        columns: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Say that some data was made from other data, where no tool records it.

        Args:
            reads: paths or URIs of what was read.
            writes: paths or URIs of what was written.
            columns: for `path#column` written, the `path#column`s that it was made from.
        """
        made = [_dataset(place) for place in writes]
        used = [_dataset(place) for place in reads]
        edges = []
        for target, sources in (columns or {}).items():
            to = _column(target)
            edges.append(Edge(owner(to), "FIELD", to, "declared", "declare"))
            for source in map(_column, sources):
                edges.append(Edge(owner(source), "FIELD", source, "declared", "declare"))
                edges.append(Edge(source, "DERIVES", to, "declared", "declare"))
        self.record(Event("declare", tuple(used), tuple(made), None, tuple(edges)))

    def flush(self) -> None:
        """Write the events that wait."""
        self._events.flush()

    def collect(self) -> Mapping[str, Exception]:
        """Read what is new in every tool's own store.

        Returns:
            The collectors that failed and why; the others went on.
        """
        self.flush()
        collected = self._collectors(dict(self.store.cursors()))
        for plugin, found in collected.answers.items():
            self.store.add(plugin, found.observations, found.cursor)
        return collected.failures

    def rebuild(self) -> None:
        """Project the graph again from its observations."""
        self.flush()
        self.store.rebuild()

    def upstream(
        self,
        thing: str | Ref,
        *,
        plane: Plane = "table",
        min_level: Level = "derived",
        max_nodes: int = 100_000,
    ) -> Subgraph:
        """Where a thing comes from.

        Args:
            thing: a ref, a URN, a path, or the name of a node.
            plane: `column` follows columns; a column's URN always does.
            min_level: the weakest evidence: declared, recorded, derived or inferred.
            max_nodes: where to stop; the answer says whether it did.

        Raises:
            NotFoundError: the graph does not know it.
        """
        return self._walk(thing, "up", plane, min_level, max_nodes)

    def downstream(
        self,
        thing: str | Ref,
        *,
        plane: Plane = "table",
        min_level: Level = "derived",
        max_nodes: int = 100_000,
    ) -> Subgraph:
        """What depends on a thing; arguments as for `upstream`."""
        return self._walk(thing, "down", plane, min_level, max_nodes)

    def path(self, source: str | Ref, target: str | Ref, *, plane: Plane = "table") -> Subgraph:
        """The shortest way from a thing down to one that depends on it.

        Raises:
            LineageError: there is no way.
        """
        goal = self.resolve(target)
        found = query.path(self.downstream(source, plane=plane, max_nodes=1_000_000), goal)
        if not found.nodes:
            raise LineageError(
                f"no path from {self.resolve(source)!r} to {goal!r}",
                hint="umlops lineage collect reads the tools' stores again",
            )
        return found

    def resolve(self, thing: str | Ref) -> str:
        """The URN of a ref, a URN, a path, `models:/name/version`, or a node's name."""
        self.flush()
        text = thing.uri if isinstance(thing, Ref) else thing
        candidates = [text]
        if "://" not in text or text.startswith("file:"):
            bare, mark, fragment = text.partition("#")
            place = canonical(bare, Path.cwd())
            candidates.append(column(place, fragment) if mark else place)
        known = self.store.nodes(candidates)
        for candidate in candidates:
            if candidate in known:
                return candidate
        version = text.removeprefix("models:/").replace("/", "@")
        return self._by_name(version if text.startswith("models:/") else text)

    def _by_name(self, name: str) -> str:
        nodes = self.store.nodes().values()
        matches = [node.uri for node in nodes if node.name == name]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise LineageError(
                f"{len(matches)} nodes are called {name!r}", hint=f"one of: {', '.join(matches)}"
            )
        near = get_close_matches(name, [item for node in nodes for item in (node.name, node.uri)])
        raise NotFoundError(
            f"the graph does not know {name!r}",
            hint=f"did you mean {', '.join(near)}?" if near else "umlops lineage collect",
        )

    def _walk(
        self, thing: str | Ref, direction: Direction, plane: Plane, level: Level, max_nodes: int
    ) -> Subgraph:
        uri = self.resolve(thing)
        return query.walk(self.store, uri, direction, plane, level, max_nodes)

    def _write(self, events: list[Event]) -> None:
        self.store.add(SESSION, [_observation(event) for event in events])


def _observation(event: Event) -> Observation:
    """An event as nodes and edges: from what was read to what was written or to the run."""
    readers = event.writes or ((event.run,) if event.run else ())
    refs = dict.fromkeys((*event.reads, *readers))
    nodes = tuple(Node(ref.uri, ref.kind, ref.id) for ref in refs)
    made = tuple(
        Edge(read.uri, edge_kind(read.kind, to.kind), to.uri, "declared", event.hook)
        for read in event.reads
        for to in readers
    )
    edges = tuple(dict.fromkeys(made + event.edges))
    key = hashlib.sha256(repr((event.hook, nodes, edges)).encode()).hexdigest()[:16]
    return Observation(key, nodes, edges)


def _dataset(place: str | Path) -> Ref:
    uri = canonical(place, Path.cwd())
    return Ref(SESSION, "dataset", Path(uri).name, uri)


def _column(text: str) -> str:
    place, _, name = text.partition("#")
    return column(canonical(place, Path.cwd()), name)
