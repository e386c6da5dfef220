"""Walks of the graph, in two planes.

The table plane joins things: it never crosses `FIELD`. The column plane follows column to column.
A walk on it that starts at a thing goes on the table plane up to the first things that have
columns, and enters by these; where a column comes from no column, it goes on from the column's
owner on the table plane, and what it meets is marked coarse. `PARENT_OF` and `VERSION_OF` are
climbed from child to parent and never descended, or siblings would leak in; from what is reached
by `VERSION_OF` a walk only climbs on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import TypeVar

from unified_mlops.errors import LineageError
from unified_mlops.lineage.follow import Follow, Met, Plane, Question, Row
from unified_mlops.lineage.rows import edges_of, many
from unified_mlops.lineage.schema import ALWAYS, FIELD, FOLLOWED, FOREVER, LEVELS
from unified_mlops.lineage.store import Store
from unified_mlops.lineage.subgraph import Later, Step, Subgraph
from unified_mlops.lineage.urn import is_column, owner
from unified_mlops.records import Edge

__all__ = ["Plane", "Question", "contents", "walk"]

Drawn = tuple[list[Edge], list[str], list[str]]
C = TypeVar("C", bound=Collection[str])
_PRECISE = ("model", "model_version")
"""Owners of columns that all they lead to depends on each of their columns."""


def walk(store: Store, root: str, question: Question) -> Subgraph:
    """Everything upstream or downstream of a node, nearest first.

    Raises:
        LineageError: it came to be after the moment that is asked about.
    """
    if not store.database.exists:
        return Subgraph(root, question.direction, {}, {})
    with store.database.reading() as connection, many():
        walker = _Walker(question, Follow(connection, question))
        walker.run(root)
    if not walker.met:
        hint = "ask as of a later moment"
        raise LineageError(f"{root!r} was not there yet", hint=hint)
    return walker.subgraph(store, root)


def contents(store: Store, root: str, question: Question) -> Subgraph:
    """What belongs to a context, and the artifacts that its executions read and wrote."""
    members: dict[str, None] = {root: None}
    steps: dict[Step, None] = {}
    frontier = [root]
    while frontier and len(members) < question.max_nodes:
        edges = store.edges("source", frontier, question.level)
        owned = [item for item in edges if item.kind in ("PARENT_OF", "VERSION_OF")]
        steps.update({Step(item, item.source, item.target): None for item in owned})
        frontier = [uri for uri in {item.target: None for item in owned} if uri not in members]
        members.update(dict.fromkeys(frontier))
    moved = [
        *store.edges("source", members, question.level),
        *store.edges("target", members, question.level),
    ]
    touched = [item for item in moved if item.kind in ("INPUT", "OUTPUT")]
    steps.update({Step(item, item.source, item.target): None for item in touched})
    members.update({uri: None for item in touched for uri in (item.source, item.target)})
    shown = list(members)[: question.max_nodes]
    found = store.nodes(shown)
    nodes = {uri: found[uri] for uri in shown if uri in found}
    kept = [step for step in steps if step.here in nodes and step.there in nodes]
    subgraph = Subgraph.of(root, "down", nodes, kept)
    return replace(
        subgraph,
        truncated=len(members) > question.max_nodes,
        evidence=Later(lambda: store.evidence(subgraph.edges)),
    )


class _Walker:
    """One walk: the nodes met, which of them coarsely, and by which kinds of edge to leave them."""

    def __init__(self, question: Question, follow: Follow) -> None:
        self._asked = question
        self._follow = follow
        self.met: dict[int, None] = {}
        self.coarse: dict[int, None] = {}
        self.left: dict[str, set[int]] = {
            name: set() for name in ("table", "climb", "column", "enter")
        }
        self.back: list[tuple[int, int]] = []
        self.truncated = False

    def run(self, root: str) -> None:
        """Walk from a node."""
        start = self._follow.called([root])
        if self._asked.plane == "table" and not is_column(root):
            self._table(start)
        else:
            self._columns(start if is_column(root) else self._to_columns(start))

    # --- the parts of a walk ---------------------------------------------------------------

    def _table(self, start: Iterable[int], *, coarse: bool = False, beside: bool = False) -> None:
        """Walk on among things; `beside` a walk among columns."""
        self._enter(start, "table", coarse)
        if self._asked.direction == "down":
            self._enter(self._follow.closure(start, "down", beside=beside), "table", coarse)
            return
        straight, climbed = self._follow.ancestors(start)
        self._enter(straight, "table", coarse)
        self._enter(climbed, "climb", coarse)

    def _columns(self, start: Met) -> None:
        """Walk from column to column, and from those that lead to no column among things."""
        met = self._follow.nodes(self._follow.closure(start, "column"))
        every = {number: uri for number, uri in met.items() if is_column(uri)}
        late = self._follow.later(map(owner, every.values()))  # a column has its owner's time
        columns = {number: uri for number, uri in every.items() if owner(uri) not in late}
        self._enter(columns, "column")
        things = {number: uri for number, uri in met.items() if number not in every}
        self._table(things, beside=True)
        leading = {here for here, _ in self._follow.pairs(columns, FOLLOWED["made"])}
        if self._asked.direction == "down":
            exact = self._follow.called(map(owner, columns.values()), _PRECISE)
            self._table(exact, beside=True)
        self._fall_back({number: uri for number, uri in columns.items() if number not in leading})

    def _to_columns(self, start: Met) -> Met:
        """Walk among things until they have columns, and return these."""
        columns: set[int] = set()
        frontier = self._enter(start, "table")
        while frontier:
            pairs = [
                *self._follow.fields(frontier),
                *self._follow.pairs(frontier, FOLLOWED["column"]),
            ]
            columns.update(there for _, there in pairs)
            entered = {here for here, _ in pairs}
            self.left["enter"] |= entered
            rest = [number for number in frontier if number not in entered]
            onward = {far for _, far in self._follow.pairs(rest, FOLLOWED[self._asked.direction])}
            found = self._follow.nodes(sorted(onward - self.met.keys()))
            frontier = self._enter(found, "table")
        found = self._follow.nodes(sorted(columns))
        return {number: uri for number, uri in found.items() if is_column(uri)}

    def _fall_back(self, columns: Met) -> None:
        """Go on from the owners of columns that lead to no column."""
        owners = {number: owner(uri) for number, uri in columns.items()}
        found = {uri: number for number, uri in self._follow.called(owners.values()).items()}
        self.back += [(number, found[uri]) for number, uri in owners.items() if uri in found]
        rest = [number for number in found.values() if number not in self.met]
        self._table(rest, coarse=True, beside=True)

    def _enter(self, nodes: Iterable[int], plane: str, coarse: bool = False) -> list[int]:
        """Note nodes as met; those that are new."""
        self.left[plane].update(nodes)
        new = [number for number in nodes if number not in self.met]
        room = self._asked.max_nodes - len(self.met)
        if len(new) > room:
            self.truncated = True
            new = new[:room]
        self.met.update(dict.fromkeys(new))
        if coarse:
            self.coarse.update(dict.fromkeys(new))
        return new

    # --- the answer ------------------------------------------------------------------------

    def subgraph(self, store: Store, root: str) -> Subgraph:
        """What was met; descriptions, steps and evidence are read when they are looked at."""
        nodes = Later(
            lambda: _same_graph(store.numbered(self.met), root),
            lambda: _same_graph(self._uris(store, self.met), root),
        )
        coarse = frozenset(self._uris(store, self.coarse)) if self.coarse else frozenset()
        read = cache(lambda: self._read(store, nodes))
        found = Subgraph(
            root,
            self._asked.direction,
            nodes,
            Later(lambda: _leaving(*read())),
            coarse,
            self.truncated,
            Later(lambda: store.evidence(found.edges)),
            lambda: read()[0],
        )
        return found

    def _uris(self, store: Store, numbers: Iterable[int]) -> Collection[str]:
        """The URNs of some nodes, in this order."""
        with store.database.reading() as connection:
            return Follow(connection, self._asked).nodes(numbers).values()

    def _read(self, store: Store, uris: Iterable[str]) -> Drawn:
        """The edges that were followed, the end of each that was met first, and the other."""
        with many():  # what a call leaves behind is gone before the search for cycles begins again
            names = dict(zip(self.met, uris, strict=True))
            return self._drawn(self._between(store, names), names)

    def _between(self, store: Store, names: Mapping[int, str]) -> list[Row]:
        """The rows of the edges that were followed from node to node."""
        with store.database.reading() as connection:
            self._follow = Follow(connection, self._asked)
            rows = self._followed()
        ends = {row[0] for row in rows} | {row[1] for row in rows}
        if ends <= names.keys():
            return rows
        return [row for row in rows if row[0] in names and row[1] in names]

    def _drawn(self, rows: list[Row], names: Mapping[int, str]) -> Drawn:
        """Edges from what was upstream to what was downstream."""
        if not rows:
            return [], [], []
        near, far, kinds, *what = zip(*rows, strict=True)
        here = [names[number] for number in near]
        there = [names[number] for number in far]
        up = self._asked.direction == "up"
        sources, targets = (there, here) if up else (here, there)
        if FIELD in kinds:  # drawn from the thing to its column whichever way they are followed
            pairs = zip(kinds, sources, targets, strict=True)
            drawn = [sorted(two, key=is_column) if k == FIELD else two for k, *two in pairs]
            sources, targets = [pair[0] for pair in drawn], [pair[1] for pair in drawn]
        return edges_of(sources, targets, kinds, *what), here, there

    def _followed(self) -> list[Row]:
        """The edges by which nodes were left."""
        entered = self.left["enter"]
        plain = self.left["table"] - entered
        recorded, derived = LEVELS.index("recorded"), LEVELS.index("derived")
        fields = self._follow.fields(entered)
        return [
            *self._follow.edges(plain, FOLLOWED[self._asked.direction]),
            *self._follow.edges(self.left["climb"] - plain, FOLLOWED["climb"]),
            *self._follow.edges(self.left["column"] | entered, FOLLOWED["column"]),
            *((a, b, FIELD, ALWAYS, FOREVER, recorded) for a, b in fields),
            *((a, b, FIELD, ALWAYS, FOREVER, derived) for a, b in self.back),
        ]


def _same_graph(found: C, root: str) -> C:
    """What was read after a walk; numbers mean other nodes once a graph was made anew.

    Raises:
        LineageError: the first number no longer means the root.
    """
    if next(iter(found), root) != root:
        raise LineageError("the graph was made anew while it was read", hint="ask again")
    return found


def _leaving(edges: list[Edge], here: list[str], there: list[str]) -> dict[str, tuple[Step, ...]]:
    """The steps that leave each node, by its URN."""
    steps: dict[str, list[Step]] = {}
    for step in map(Step, edges, here, there):
        steps.setdefault(step.here, []).append(step)
    return {uri: tuple(leaving) for uri, leaving in steps.items()}
