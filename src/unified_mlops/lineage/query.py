"""Walks of the graph, in two planes.

The table plane joins things: it never crosses `FIELD`. The column plane follows column to column.
A walk on it that starts at a thing goes on the table plane up to the first things that have
columns, and enters by these; where a column comes from no column, it goes on from the column's
owner on the table plane, and what it meets is marked coarse. `PARENT_OF` and `VERSION_OF` are
climbed from child to parent and never descended, or siblings would leak in; from what is reached
by `VERSION_OF` a walk only climbs on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

from unified_mlops.errors import LineageError
from unified_mlops.lineage.follow import Follow, Met, Plane, Question, Row
from unified_mlops.lineage.rows import many
from unified_mlops.lineage.schema import ALWAYS, FIELD, FOLLOWED, FOREVER, LEVELS
from unified_mlops.lineage.store import Store, edges_of, made
from unified_mlops.lineage.subgraph import Later, Step, Subgraph
from unified_mlops.lineage.urn import is_column, owner

__all__ = ["Plane", "Question", "contents", "walk"]

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
        self.met: dict[int, str] = {}
        self.coarse: set[int] = set()
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

    def _table(self, start: Met, *, coarse: bool = False, beside: bool = False) -> None:
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
        met = self._follow.closure(start, "column")
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
        frontier = list(self._enter(start, "table"))
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
            frontier = list(self._enter(found, "table"))
        found = self._follow.nodes(sorted(columns))
        return {number: uri for number, uri in found.items() if is_column(uri)}

    def _fall_back(self, columns: Met) -> None:
        """Go on from the owners of columns that lead to no column."""
        owners = {number: owner(uri) for number, uri in columns.items()}
        found = {uri: number for number, uri in self._follow.called(owners.values()).items()}
        self.back += [(number, found[uri]) for number, uri in owners.items() if uri in found]
        rest = {number: uri for uri, number in found.items() if number not in self.met}
        self._table(rest, coarse=True, beside=True)

    def _enter(self, nodes: Met, plane: str, coarse: bool = False) -> Met:
        """Note nodes as met; those that are new."""
        self.left[plane].update(nodes)
        new = dict(nodes)
        for number in self.met.keys() & nodes.keys():
            del new[number]
        room = self._asked.max_nodes - len(self.met)
        if len(new) > room:
            self.truncated = True
            new = dict(islice(new.items(), room))
        self.met.update(new)
        if coarse:
            self.coarse.update(new)
        return new

    # --- the answer ------------------------------------------------------------------------

    def subgraph(self, store: Store, root: str) -> Subgraph:
        """What was met; descriptions, steps and evidence are read when they are looked at."""
        coarse = frozenset(self.met[number] for number in self.coarse)

        found = Subgraph(
            root,
            self._asked.direction,
            Later(lambda: store.numbered(self.met), self.met.values()),
            Later(lambda: self._leaving(store)),
            coarse,
            self.truncated,
            Later(lambda: store.evidence(found.edges)),
        )
        return found

    def _leaving(self, store: Store) -> dict[str, tuple[Step, ...]]:
        """The steps that leave each node, by its URN."""
        met = self.met
        with store.database.reading() as connection:
            self._follow = Follow(connection, self._asked)
            rows = [row for row in self._followed() if row[0] in met and row[1] in met]
        derived = LEVELS.index("derived")
        back = [(here, there, FIELD, ALWAYS, FOREVER, derived) for here, there in self.back]
        rows += [row for row in back if row[1] in met]
        rows = list(dict.fromkeys(rows))  # one edge may have been met in two planes
        near = [met[row[0]] for row in rows]
        far = [met[row[1]] for row in rows]
        up = self._asked.direction == "up"
        drawn: list[Any] = [
            ((there, here) if (is_column(here) if row[2] == FIELD else up) else (here, there))
            + row[2:]
            for here, there, row in zip(near, far, rows, strict=True)
        ]
        steps: dict[str, list[Step]] = {}
        for step in made(Step, len(rows), edges_of(drawn), near, far):
            steps.setdefault(step.here, []).append(step)
        return {uri: tuple(leaving) for uri, leaving in steps.items()}

    def _followed(self) -> Iterator[Row]:
        """The edges by which nodes were left."""
        entered = self.left["enter"]
        plain = self.left["table"] - entered
        yield from self._follow.edges(plain, FOLLOWED[self._asked.direction])
        yield from self._follow.edges(self.left["climb"] - plain, FOLLOWED["climb"])
        yield from self._follow.edges(self.left["column"] | entered, FOLLOWED["column"])
        for thing, column in self._follow.fields(entered):
            yield thing, column, FIELD, ALWAYS, FOREVER, LEVELS.index("recorded")
