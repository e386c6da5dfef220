"""The queries of a walk: what leaves some nodes, and all that is reached from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from unified_mlops.lineage.rows import fetch, within
from unified_mlops.lineage.schema import FIELD, FOLLOWED, FOREVER, LEVELS, VERSION_OF, tables
from unified_mlops.lineage.subgraph import Direction
from unified_mlops.records import Level

if TYPE_CHECKING:
    from sqlalchemy import CTE, ColumnElement, Connection, Select

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

    def closure(self, start: Met, kinds: str, *, beside: bool = False) -> Met:
        """All that is reached from some nodes, by one recursive query.

        It is deduplicated by node alone: with the depth beside it, it would enumerate paths.

        Args:
            start: where to begin.
            kinds: a key of `FOLLOWED`.
            beside: leave out what columns lead to: beside a walk among columns, that is decided
                by these alone.
        """
        from sqlalchemy import exists, select

        if not start:
            return {}
        seed = select(self._node.c.id).where(within(self._connection, self._node.c.id, start))
        reached = seed.cte("reached", recursive=True)
        step = select(self._far).where(self._near == reached.c.id, *self._holds(FOLLOWED[kinds]))
        if beside:
            other = self._edge.alias()
            column = other.c.kind.between(*FOLLOWED["column"])
            step = step.where(~exists().where(other.c.target == self._far, column))
        reached = reached.union(self._dated(step))
        return dict(self._named(reached, reached.c.id))

    def ancestors(self, start: Met) -> tuple[Met, Met]:
        """All things that some things come from, and apart from them what is only climbed to.

        What is reached by `VERSION_OF` is what all versions belong to: from there, a walk goes on
        to what that belongs to, and not to what its other versions were made from.
        """
        from sqlalchemy import case, literal, select

        if not start:
            return {}, {}
        chosen = within(self._connection, self._node.c.id, start)
        seed = select(self._node.c.id, literal(0).label("climbed")).where(chosen)
        reached = seed.cte("reached", recursive=True)
        kind, first = self._edge.c.kind, FOLLOWED["climb"][0]
        climbs = case((kind == VERSION_OF, 1), else_=reached.c.climbed)
        step = select(self._far, climbs).where(
            self._near == reached.c.id,
            *self._holds(FOLLOWED["up"]),
            kind >= reached.c.climbed * first,
        )
        reached = reached.union(self._dated(step))
        rows = self._named(reached, reached.c.id, reached.c.climbed)
        straight = {number: uri for number, climbed, uri in rows if not climbed}
        climbed = {number: uri for number, climbed, uri in rows if climbed}
        return straight, {n: uri for n, uri in climbed.items() if n not in straight}

    def _named(self, reached: CTE, *columns: Any) -> list[tuple[Any, ...]]:
        """What was reached, nearest first, each row with the URN of its node at its end."""
        from sqlalchemy import func, select

        query = select(*columns, self._node.c.uri).join(self._node, self._node.c.id == reached.c.id)
        if self._connection.dialect.name == "postgresql":  # whose joins keep no order
            rows = select(*columns, func.row_number().over().label("place")).subquery()
            shown = [rows.c[column.name] for column in columns]
            query = select(*shown, self._node.c.uri).join(self._node, self._node.c.id == rows.c.id)
            query = query.order_by(rows.c.place)
        return fetch(self._connection, query.limit(self._asked.max_nodes + 1))

    def _holds(self, kinds: tuple[int, int]) -> list[ColumnElement[bool]]:
        """Which edges are followed: by kind, strength, and whether they hold at the moment."""
        columns, moment = self._edge.c, self._asked.as_of
        chosen = [columns.kind.between(*kinds), columns.level <= LEVELS.index(self._asked.level)]
        if moment is None:
            return [*chosen, columns.until == FOREVER]
        return [*chosen, columns.since <= moment, columns.until > moment]

    def _dated(self, query: Select[Any]) -> Select[Any]:
        """As of a moment, nothing is met that came to be later."""
        from sqlalchemy import or_

        moment = self._asked.as_of
        if moment is None:
            return query
        time = self._node.c.time
        there = query.join(self._node, self._node.c.id == self._far)
        return there.where(or_(time.is_(None), time <= moment))

    def edges(self, ids: Iterable[int], kinds: tuple[int, int]) -> Iterator[Row]:
        """The edges that leave some nodes: the end here, the end there, and what they are."""
        from sqlalchemy import select

        columns = self._edge.c
        what = (columns.kind, columns.since, columns.until, columns.level)
        query = select(self._near, self._far, *what).where(*self._holds(kinds))
        chosen = within(self._connection, self._near, ids)
        yield from fetch(self._connection, self._dated(query.where(chosen)))

    def pairs(self, ids: Iterable[int], kinds: tuple[int, int]) -> list[tuple[int, int]]:
        """The ends of the edges that leave some nodes."""
        return [(here, there) for here, there, *_ in self.edges(ids, kinds)]

    def fields(self, ids: Iterable[int]) -> list[tuple[int, int]]:
        """The columns of things."""
        from sqlalchemy import select

        ends = self._edge.c.source, self._edge.c.target
        chosen = within(self._connection, ends[0], ids)
        query = select(*ends).where(self._edge.c.kind == FIELD, chosen)
        return [(thing, column) for thing, column in fetch(self._connection, query)]

    def nodes(self, kinds: Iterable[str] = (), **values: Iterable[Any]) -> Met:
        """The nodes of which a column has one of some values, perhaps of certain kinds only."""
        from sqlalchemy import or_, select

        time, moment = self._node.c.time, self._asked.as_of
        query = select(self._node.c.id, self._node.c.uri)
        if moment is not None:
            query = query.where(or_(time.is_(None), time <= moment))
        if kinds:
            query = query.where(self._node.c.kind.in_(list(kinds)))
        found: Met = {}
        for column, wanted in values.items():
            chosen = within(self._connection, self._node.c[column], wanted)
            found |= dict(fetch(self._connection, query.where(chosen)))
        return found

    def later(self, uris: Iterable[str]) -> set[str]:
        """Those of some nodes that came to be after the moment that is asked about."""
        from sqlalchemy import select

        moment, uri = self._asked.as_of, self._node.c.uri
        if moment is None:
            return set()
        chosen = within(self._connection, uri, uris), self._node.c.time > moment
        return {row[0] for row in fetch(self._connection, select(uri).where(*chosen))}
