"""The queries of a walk: what leaves some nodes, and all that is reached from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from unified_mlops.lineage.rows import fetch, numbered, within
from unified_mlops.lineage.schema import FIELD, FOLLOWED, FOREVER, LEVELS, VERSION_OF, tables
from unified_mlops.lineage.subgraph import Direction
from unified_mlops.records import Level

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Select

Plane = Literal["table", "column"]
Row = tuple[int, int, int, float, float, int]
"""An edge: the number of the node here, of that there, kind, since, until, level."""
Met = dict[int, str]
"""Nodes: URNs by numbers."""


@dataclass(frozen=True, slots=True)
class Question:
    """What every walk is told.

    Args:
        direction: up to what a thing comes from, or down to what depends on it.
        plane: among things or among columns.
        level: the weakest evidence to follow.
        as_of: the moment, in seconds, at which the graph is looked at; None: now.
        max_nodes: where to stop.
    """

    direction: Direction = "up"
    plane: Plane = "table"
    level: Level = "derived"
    as_of: float | None = None
    max_nodes: int = 100_000


class Follow:
    """The queries of one walk.

    Args:
        connection: on which they are asked.
        question: what the walk was told.
    """

    def __init__(self, connection: Connection, question: Question) -> None:
        self._connection = connection
        self._asked = question
        self._edge = tables().tables["edge"]
        self._node = tables().tables["node"]
        ends = ("target", "source") if question.direction == "up" else ("source", "target")
        self._near, self._far = (self._edge.c[end] for end in ends)

    def closure(self, start: Iterable[int], kinds: str, *, beside: bool = False) -> list[int]:
        """All that is reached from some nodes, nearest first, and these.

        Layer by layer: one recursive query takes half as long again where layers are wide.

        Args:
            start: where to begin.
            kinds: a key of `FOLLOWED`.
            beside: leave out what columns lead to: beside a walk among columns, that is decided
                by these alone.
        """
        from sqlalchemy import select

        step = select(self._far).where(*self._holds(FOLLOWED[kinds]))
        if beside:
            other = self._edge.alias()
            column = other.c.kind.between(*FOLLOWED["column"])
            leads = select(other.c.target).where(other.c.target == self._far, column).limit(1)
            step = step.where(leads.scalar_subquery().is_(None))
        onward = numbered(self._connection, step, self._near, distinct=True, packed=True)
        met = dict.fromkeys(start)
        layer = list(met)
        while layer and len(met) <= self._asked.max_nodes:
            reached = [number for column in onward(layer) for number in column]
            layer = sorted(number for number in reached if number not in met)
            if self._asked.as_of is not None:
                layer = list(self.nodes(layer))  # without those that came to be later
            met.update(dict.fromkeys(layer))
        return list(met)

    def ancestors(self, start: Iterable[int]) -> tuple[list[int], list[int]]:
        """All things that some things come from, and apart from them what is only climbed to.

        What is reached by `VERSION_OF` is what all versions belong to: from there, a walk goes on
        to what that belongs to, and not to what its other versions were made from.
        """
        straight = self.closure(start, "straight")
        whole = self._leaving(straight, (VERSION_OF, VERSION_OF), self._far)
        climbed = self.closure(sorted({row[0] for row in whole}), "climb")
        met = set(straight)
        return straight, [number for number in climbed if number not in met]

    def _holds(self, kinds: tuple[int, int]) -> list[ColumnElement[bool]]:
        """Which edges are followed: by kind, strength, and whether they hold at the moment."""
        columns, moment = self._edge.c, self._asked.as_of
        chosen = [columns.kind.between(*kinds), columns.level <= LEVELS.index(self._asked.level)]
        if moment is None:
            return [*chosen, columns.until == FOREVER]
        return [*chosen, columns.since <= moment, columns.until > moment]

    def _dated(self, query: Select[Any]) -> Select[Any]:
        """As of a moment, nothing is met that came to be later.

        Each node's time is looked up: a join might be done by reading all nodes first.
        """
        from sqlalchemy import func, select

        moment = self._asked.as_of
        if moment is None:
            return query
        time = select(self._node.c.time).where(self._node.c.id == self._far).scalar_subquery()
        return query.where(func.coalesce(time, moment) <= moment)

    def edges(self, ids: Iterable[int], kinds: tuple[int, int]) -> list[Row]:
        """The edges that leave some nodes: the end here, the end there, and what they are."""
        columns = self._edge.c
        what = (columns.kind, columns.since, columns.until, columns.level)
        return self._leaving(ids, kinds, self._near, self._far, *what)

    def pairs(self, ids: Iterable[int], kinds: tuple[int, int]) -> list[tuple[int, int]]:
        """The ends of the edges that leave some nodes."""
        return self._leaving(ids, kinds, self._near, self._far)

    def _leaving(self, ids: Iterable[int], kinds: tuple[int, int], *shown: Any) -> list[Any]:
        from sqlalchemy import select

        query = self._dated(select(*shown).where(*self._holds(kinds)))
        return numbered(self._connection, query, self._near)(ids)

    def fields(self, ids: Iterable[int]) -> list[tuple[int, int]]:
        """The columns of things."""
        from sqlalchemy import select

        ends = self._edge.c.source, self._edge.c.target
        query = select(*ends).where(self._edge.c.kind == FIELD)
        return [(a, b) for a, b in numbered(self._connection, query, ends[0])(ids)]

    def nodes(self, ids: Iterable[int]) -> Met:
        """Nodes by their numbers, in this order."""
        wanted = list(ids)
        found = dict(zip(*(self._by_number(wanted) or [(), ()]), strict=True))
        return {number: found[number] for number in wanted if number in found}

    @cached_property
    def _by_number(self) -> Callable[[Iterable[int]], list[Any]]:
        return numbered(self._connection, self._existing(), self._node.c.id, packed=True)

    def called(self, uris: Iterable[str], kinds: Iterable[str] = ()) -> Met:
        """Nodes by their URNs, perhaps of certain kinds only."""
        query = self._existing().where(within(self._connection, self._node.c.uri, uris))
        if kinds:
            query = query.where(self._node.c.kind.in_(list(kinds)))
        return dict(fetch(self._connection, query))

    def _existing(self) -> Select[Any]:
        """Numbers and URNs of the nodes that are there at the moment."""
        from sqlalchemy import or_, select

        time, moment = self._node.c.time, self._asked.as_of
        query = select(self._node.c.id, self._node.c.uri)
        return query if moment is None else query.where(or_(time.is_(None), time <= moment))

    def later(self, uris: Iterable[str]) -> set[str]:
        """Those of some nodes that came to be after the moment that is asked about."""
        from sqlalchemy import select

        moment, uri = self._asked.as_of, self._node.c.uri
        if moment is None:
            return set()
        chosen = within(self._connection, uri, uris), self._node.c.time > moment
        return {row[0] for row in fetch(self._connection, select(uri).where(*chosen))}
