"""What a session offers of the graph: record, collect, ask."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from unified_mlops.buffer import Buffer
from unified_mlops.errors import LineageError
from unified_mlops.lineage import query, resolve
from unified_mlops.lineage.compare import Difference, difference
from unified_mlops.lineage.declare import observation
from unified_mlops.lineage.doctor import Finding, examine
from unified_mlops.lineage.query import Plane, Question
from unified_mlops.lineage.store import Evidence, Store
from unified_mlops.lineage.subgraph import Direction, Subgraph
from unified_mlops.lineage.urn import canonical, column, owner
from unified_mlops.records import Collection, Edge, Event, Level, Ref

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
        place: its database: a path, or a PostgreSQL URL.
        collectors: asks every collector for what is new since its cursor.
        without: stitch rules that are switched off.
        source: names the stores that the collectors read, where several sessions share a graph.
    """

    def __init__(
        self,
        place: str | Path,
        collectors: Callable[[Mapping[str, str | None]], Collected],
        without: Iterable[str] = (),
        source: str = "",
    ) -> None:
        self.store = Store(place, without)
        self._collectors = collectors
        self._source = source
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

    def close(self) -> None:
        """Write the events that wait, and give the database's connections back."""
        self.flush()
        self.store.database.close()

    def collect(self) -> Mapping[str, Exception]:
        """Read what is new in every tool's own store.

        Returns:
            The collectors that failed and why; the others went on, and what the failed ones did
            not tell is asked for again next time.
        """
        self.flush()
        mine = f" {self._source}".rstrip()
        cursors = {
            name.removesuffix(mine): cursor
            for name, cursor in self.store.cursors().items()
            if name.endswith(mine)
        }
        collected = self._collectors(cursors)
        failures = dict(collected.failures)
        for plugin, found in collected.answers.items():
            failures |= _numbered(plugin, found.problems)
            if found.observations or found.cursor != cursors.get(plugin):
                self.store.add(plugin, found.observations, found.cursor, self._source)
        return failures

    def rebuild(self) -> None:
        """Project the graph again from its observations."""
        self.flush()
        self.store.rebuild()

    def upstream(
        self,
        thing: str | Ref,
        *,
        plane: Plane = "table",
        as_of: datetime | None = None,
        min_level: Level = "derived",
        max_nodes: int = 100_000,
    ) -> Subgraph:
        """Where a thing comes from.

        Args:
            thing: a ref, a URN, a path, `models:/name/version`, `models:/name@alias`, the name of
                a node, or any of these with `#column`.
            plane: `column` follows columns; a column's URN always does.
            as_of: the graph as it stood at that moment: what had happened by then, and what
                aliases, endpoints and live views were then. Now, if left out.
            min_level: the weakest evidence: declared, recorded, derived or inferred.
            max_nodes: where to stop; the answer says whether it did.

        Raises:
            NotFoundError: the graph does not know it.
        """
        return self._walk(thing, "up", plane, as_of, min_level, max_nodes)

    def downstream(
        self,
        thing: str | Ref,
        *,
        plane: Plane = "table",
        as_of: datetime | None = None,
        min_level: Level = "derived",
        max_nodes: int = 100_000,
    ) -> Subgraph:
        """What depends on a thing; arguments as for `upstream`."""
        return self._walk(thing, "down", plane, as_of, min_level, max_nodes)

    def impact(
        self,
        column: str | Ref,
        *,
        as_of: datetime | None = None,
        min_level: Level = "derived",
        max_nodes: int = 100_000,
    ) -> Subgraph:
        """What a change of a column reaches; what only its table reaches is in `coarse`."""
        return self._walk(column, "down", "column", as_of, min_level, max_nodes)

    def path(
        self,
        source: str | Ref,
        target: str | Ref,
        *,
        plane: Plane = "table",
        as_of: datetime | None = None,
        min_level: Level = "derived",
        max_nodes: int = 1_000_000,
    ) -> Subgraph:
        """The shortest way from a thing down to one that depends on it.

        Raises:
            LineageError: there is no way.
        """
        goal = self.resolve(target, as_of)
        whole = self._walk(source, "down", plane, as_of, min_level, max_nodes)
        found = whole.way_to(goal)
        if not found.nodes:
            cut = f", among the first {max_nodes} nodes" if whole.truncated else ""
            raise LineageError(
                f"no path from {self.resolve(source, as_of)!r} to {goal!r}{cut}",
                hint="umlops lineage collect reads the tools' stores again",
            )
        return found

    def explain(
        self, source: str | Ref | Edge, target: str | Ref = ""
    ) -> Mapping[Edge, tuple[Evidence, ...]]:
        """Why the graph has its edges from one thing to another: who says so, and by which rule.

        Args:
            source: the upstream end, or an edge.
            target: the downstream end, unless an edge is given.

        Raises:
            LineageError: there is no edge between them.
        """
        both = (source.source, source.target) if isinstance(source, Edge) else (source, target)
        ends = self.resolve(both[0]), self.resolve(both[1])
        edges = [edge for edge in self.store.edges("target", [ends[1]]) if edge.source == ends[0]]
        if not edges:
            hint = f"umlops lineage path {ends[0]} {ends[1]}"
            raise LineageError(f"no edge leads from {ends[0]!r} to {ends[1]!r}", hint=hint)
        evidence = self.store.evidence(edges)
        return {edge: evidence[edge.source, edge.kind, edge.target] for edge in edges}

    def diff(
        self,
        a: str | Ref,
        b: str | Ref,
        *,
        plane: Plane = "table",
        as_of: datetime | None = None,
        min_level: Level = "derived",
        max_nodes: int = 100_000,
    ) -> Difference:
        """What two things come from, compared; arguments as for `upstream`."""
        return difference(
            self._walk(a, "up", plane, as_of, min_level, max_nodes),
            self._walk(b, "up", plane, as_of, min_level, max_nodes),
        )

    def contents(
        self, context: str | Ref, *, min_level: Level = "derived", max_nodes: int = 100_000
    ) -> Subgraph:
        """What belongs to a run, experiment, pipeline or registered model, and what it touched.

        As Vertex's `query_lineage_subgraph`, without its limit of 1,000 nodes.
        """
        uri = self.resolve(context)
        question = Question("down", "table", min_level, None, max_nodes)
        return query.contents(self.store, uri, question)

    def doctor(self) -> list[Finding]:
        """What is contradictory, ambiguous or unresolved in the graph, and what to do about it."""
        self.flush()
        return examine(self.store)

    def resolve(self, thing: str | Ref, as_of: datetime | None = None) -> str:
        """The URN of a ref, a URN, a path, a `models:/…` text, or a node's name.

        Raises:
            NotFoundError: the graph does not know it.
            LineageError: several things are called so.
        """
        self.flush()
        moment = time.time() if as_of is None else as_of.timestamp()
        return resolve.resolve(self.store, thing.uri if isinstance(thing, Ref) else thing, moment)

    def _walk(
        self,
        thing: str | Ref,
        direction: Direction,
        plane: Plane,
        as_of: datetime | None,
        level: Level,
        max_nodes: int,
    ) -> Subgraph:
        uri = self.resolve(thing, as_of)
        moment = None if as_of is None else as_of.timestamp()
        return query.walk(self.store, uri, Question(direction, plane, level, moment, max_nodes))

    def _write(self, events: list[Event]) -> None:
        self.store.add(SESSION, [observation(event) for event in events])


def _numbered(plugin: str, problems: Sequence[Exception]) -> dict[str, Exception]:
    """The problems of one plugin's stores, each under a name of its own."""
    return {
        plugin if number == 1 else f"{plugin} {number}": problem
        for number, problem in enumerate(problems, 1)
    }


def _dataset(place: str | Path) -> Ref:
    uri = canonical(place, Path.cwd())
    return Ref(SESSION, "dataset", Path(uri).name, uri)


def _column(text: str) -> str:
    place, _, name = text.partition("#")
    return column(canonical(place, Path.cwd()), name)
