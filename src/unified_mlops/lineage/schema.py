"""The tables of the graph, and the small numbers that stand for words in them.

`observation` and `cursor` are kept; all others are a projection of the observations.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from unified_mlops.lineage.urn import is_column
from unified_mlops.records import Edge, EdgeKind, Level

if TYPE_CHECKING:
    from sqlalchemy import MetaData

LEVELS: tuple[Level, ...] = ("declared", "recorded", "derived", "inferred")
KINDS: tuple[EdgeKind, ...] = (
    *("INPUT", "OUTPUT", "DERIVES", "OBSERVES"),
    *("PARENT_OF", "VERSION_OF"),
    "FIELD",
)
"""In this order, so that what a walk may follow is a range: see `FOLLOWED`."""
COLUMN_PLANE = 10
"""Added to the number of a kind where the edge starts at a column."""
FOLLOWED = {
    "down": (0, 3),
    "up": (0, 5),
    "straight": (0, 4),
    "climb": (4, 5),
    "column": (COLUMN_PLANE, COLUMN_PLANE + 5),
    "made": (COLUMN_PLANE, COLUMN_PLANE + 2),
}
"""The kinds that a walk among things follows down and up, those up without `VERSION_OF`, the ones
it goes on by from what that reached, those between columns both ways, and those that make columns
of columns."""
VERSION_OF = KINDS.index("VERSION_OF")
FIELD = KINDS.index("FIELD")

ALWAYS = 0.0
FOREVER = 1e18
"""Where an edge that is not only so for a while begins and ends."""


def kind_number(edge: Edge) -> int:
    """The number of an edge's kind, which also says in which plane the edge lies."""
    number = KINDS.index(edge.kind)
    return number + COLUMN_PLANE if edge.kind != "FIELD" and is_column(edge.source) else number


def kind_name(number: int) -> EdgeKind:
    """The kind of an edge by its number."""
    return KINDS[number % COLUMN_PLANE]


@cache
def tables() -> MetaData:
    """The tables."""
    from sqlalchemy import Column, Float, Index, Integer, MetaData, SmallInteger, Table, Text
    from sqlalchemy import UniqueConstraint as Unique

    metadata = MetaData()

    def text(name: str, *, key: bool = False) -> Column[str]:
        return Column(name, Text, primary_key=key, nullable=False)

    def number(name: str, kind: type = Integer, *, key: bool = False) -> Column[float]:
        return Column(name, kind, primary_key=key, nullable=False, autoincrement=False)

    Table(
        "observation",
        metadata,
        number("id", key=True),
        *(text(name) for name in ("collector", "key", "hash")),
        Column("time", Float),
        text("body"),
        Unique("collector", "key", "hash"),
    )
    Table("cursor", metadata, text("collector", key=True), text("value"))
    Table("projection", metadata, text("made", key=True))
    Table(
        "node",
        metadata,
        number("id", key=True),
        text("uri"),
        *(text(name) for name in ("kind", "name", "attributes")),
        Column("time", Float),
        number("strength"),
        number("told", Float),
        text("said"),
        Unique("uri"),
        Index("node_by_name", "name"),
    )
    ends = [("source", Integer), ("kind", SmallInteger), ("target", Integer), ("since", Float)]
    edge = Table(
        "edge",
        metadata,
        *(number(name, kind, key=True) for name, kind in ends),
        number("until", Float),
        number("level", SmallInteger),
        sqlite_with_rowid=False,
    )
    columns = ("target", "kind", "source", "since", "until", "level")
    Index("edge_by_target", *(edge.c[name] for name in columns))
    # PostgreSQL keeps rows apart from their keys, and reads them only where no index has it all.
    walked = ("source", "kind", "target", "level", "until")
    for index in (
        Index("edge_by_source", *(edge.c[name] for name in walked)),
        Index("node_uri", metadata.tables["node"].c.id, postgresql_include=["uri"]),
    ):
        index.ddl_if(dialect="postgresql")
    Table(
        "evidence",
        metadata,
        *(number(name, kind, key=True) for name, kind in ends),
        number("observation", key=True),
        text("rule", key=True),
        text("origin", key=True),
        number("until", Float),
        number("level", SmallInteger),
        Index("evidence_by_origin", "origin"),
        sqlite_with_rowid=False,
    )
    Table(
        "unresolved",
        metadata,
        number("observation", key=True),
        number("place", key=True),
        text("reference"),
    )
    for name in ("alias", "claim"):
        Table(
            name,
            metadata,
            number("observation", key=True),
            number("place", key=True),
            text("name"),
            text("body"),
            *([number("found")] if name == "claim" else []),
            Index(f"{name}_by_name", "name"),
        )
    return metadata
