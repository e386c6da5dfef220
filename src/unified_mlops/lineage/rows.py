"""Rows of the graph's tables: reading many at once, and inserting; records from them."""

from __future__ import annotations

import gc
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from itertools import repeat
from operator import sub
from typing import TYPE_CHECKING, Any, TypeVar, cast

from unified_mlops.lineage.schema import ALWAYS, FOREVER, LEVELS, kind_name, tables
from unified_mlops.records import Edge, Node

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Select, Table

T = TypeVar("T")


class Rows:
    """The tables over one connection.

    Args:
        connection: an open connection; writing needs a transaction without other writers.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.tables: Mapping[str, Table] = tables().tables

    def among(self, table: str, **values: Iterable[Any]) -> Iterator[dict[str, Any]]:
        """The rows of a table where one column has one of some values; without any, all rows."""
        keys = self.tables[table].c.keys()
        for row in self.tuples(table, **values):
            yield dict(zip(keys, row, strict=True))

    def tuples(self, table: str, **values: Iterable[Any]) -> Iterator[tuple[Any, ...]]:
        """As `among`, the rows as tuples."""
        target = self.tables[table]
        if not values:
            yield from fetch(self.connection, target.select())
        for column, wanted in values.items():
            chosen = within(self.connection, target.c[column], wanted)
            yield from fetch(self.connection, target.select().where(chosen))

    def insert(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows whose keys are not there yet."""
        if rows:
            self.connection.execute(self.tables[table].insert(), rows)

    def next_id(self, table: str) -> int:
        """A number above all that are given; nobody else gives any while we write."""
        from sqlalchemy import func, select

        return int(self.connection.scalar(select(func.max(self.tables[table].c.id))) or 0) + 1

    def keep_least(
        self, table: str, rows: Sequence[Mapping[str, Any]], keys: Sequence[str]
    ) -> None:
        """Insert rows; where one is there already, each other column keeps the lesser value."""
        from sqlalchemy import case
        from sqlalchemy.dialects import postgresql, sqlite

        target = self.tables[table]
        postgres = self.connection.dialect.name == "postgresql"
        insert: Any = postgresql.insert(target) if postgres else sqlite.insert(target)
        new, old = insert.excluded, target.c
        least = {
            name: case((new[name] < old[name], new[name]), else_=old[name])
            for name in (column.name for column in target.c)
            if name not in keys
        }
        statement = insert.on_conflict_do_update(index_elements=list(keys), set_=least)
        self.connection.execute(statement, rows)


@contextmanager
def many() -> Iterator[None]:
    """Without Python's search for cycles while many rows come in.

    None of them is in a cycle, and it would go through all objects of the process for every few
    thousand, which takes longer than reading these.
    """
    searching = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searching:
            gc.enable()


def fetch(connection: Connection, query: Select[Any], **values: Any) -> list[tuple[Any, ...]]:
    """The rows as the driver gives them: wrapped ones would cost more than finding them."""
    result = connection.execute(query, values)
    return cast("list[tuple[Any, ...]]", result.cursor.fetchall()) if result.cursor else []


def numbered(
    connection: Connection,
    query: Select[Any],
    number: ColumnElement[int],
    *,
    distinct: bool = False,
    packed: bool = False,
) -> Callable[[Iterable[int]], list[Any]]:
    """A query that can be asked again and again, each time for other numbers.

    They are passed as runs without gaps: what was recorded together is numbered together, and an
    index finds the start of a run only once.

    Args:
        connection: on which it is asked.
        query: the rows wanted, whatever their number.
        number: the column that the numbers stand in.
        distinct: leave out repeated rows.
        packed: hand over columns instead of rows; only of whole numbers and text. SQLite gives
            each as one value, in half the time, and Python has no rows to look after.
    """
    from sqlalchemy import ARRAY, Integer, bindparam, func, select, true

    if connection.dialect.name == "postgresql":
        ends = [bindparam(end, type_=ARRAY(Integer)) for end in ("first", "last")]
        runs = func.unnest(*ends).table_valued("first", "last", name="runs").render_derived()
        chosen = query.where(number.between(runs.c.first, runs.c.last))
        # The offset keeps the planner from reading all rows and looking for the run of each.
        rows = chosen.offset(0).lateral()
        query = select(rows).join_from(runs, rows, true())
    else:
        pairs = func.json_each(bindparam("runs")).table_valued("key", "value", name="runs")
        query = query.where(number.between(pairs.c.key, pairs.c.value))
    query = query.distinct() if distinct else query
    postgres = connection.dialect.name == "postgresql"
    if packed and not postgres:
        query = select(*map(func.json_group_array, query.subquery().c))

    def ask(numbers: Iterable[int]) -> list[Any]:
        found = _runs(numbers)
        if postgres:
            rows = fetch(connection, query, first=list(found), last=list(found.values()))
            return list(zip(*rows, strict=True)) if packed else rows
        rows = fetch(connection, query, runs=json.dumps(found))
        return [json.loads(column) for column in rows[0]] if packed else rows

    return ask


def _runs(numbers: Iterable[int]) -> dict[int, int]:
    """The last number of each run without gaps, by its first."""
    wanted = set(numbers)
    if wanted and max(wanted) - min(wanted) == len(wanted) - 1:
        return {min(wanted): max(wanted)}
    ordered = sorted(wanted)
    gaps = [place for place, step in enumerate(map(sub, ordered[1:], ordered)) if step > 1]
    first = [*ordered[:1], *(ordered[place + 1] for place in gaps)]
    last = [*(ordered[place] for place in gaps), *ordered[-1:]]
    return dict(zip(first, last, strict=True))


def within(connection: Connection, column: Any, values: Iterable[Any]) -> ColumnElement[bool]:
    """The condition that a column has one of any number of values, passed as one parameter."""
    from sqlalchemy import ARRAY, any_, bindparam, func, select

    ordered = sorted(set(values))
    if connection.dialect.name == "postgresql":
        array = bindparam(None, ordered, type_=ARRAY(column.type))
        found: ColumnElement[bool] = column == any_(array)
        return found
    listed = func.json_each(json.dumps(ordered)).table_valued("value")
    return column.in_(select(listed.c.value))  # type: ignore[no-any-return]


def nodes_of(rows: Sequence[Sequence[Any]]) -> list[Node]:
    """Nodes from the first columns of their rows."""
    if not rows:
        return []
    _, uris, kinds, names, attributes, times, *_ = zip(*rows, strict=True)
    said = json.loads(f"[{','.join(attributes)}]")
    return _made(Node, len(rows), uris, kinds, names, said, times)


def edges_of(
    sources: Sequence[str],
    targets: Sequence[str],
    kinds: Sequence[int],
    since: Sequence[float],
    until: Sequence[float],
    levels: Sequence[int],
) -> list[Edge]:
    """Edges from their ends and the numbers in their rows, column by column."""
    named = {number: kind_name(number) for number in set(kinds)}
    return _made(
        *(Edge, len(sources), sources, map(named.__getitem__, kinds), targets),
        *(map(LEVELS.__getitem__, levels), repeat("")),
        [None if moment == ALWAYS else moment for moment in since],
        [None if moment == FOREVER else moment for moment in until],
    )


def _made(kind: type[T], count: int, *columns: Iterable[Any]) -> list[T]:
    """Many records of a kind at once, from the values of each of its fields.

    They are filled field by field: the constructor of a frozen record looks up each field by its
    name, and would take longer than reading the rows.
    """
    records = list(map(object.__new__, repeat(kind, count)))
    for field, column in zip(fields(kind), columns, strict=True):  # type: ignore[arg-type]
        deque(map(getattr(kind, field.name).__set__, records, column), 0)
    return records
