"""Numbered nodes, edges with intervals, evidence by observation, aliases and claims.

What was declared is kept and projected again. What was collected is dropped with its cursors: the
tools' stores still have it, and are read again in the new form.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa  # noqa: TID253  a migration is only ever run by Alembic
from alembic.operations import Operations

revision = "0002"
down_revision = "0001"

_ENDS = (
    *(("source", sa.Integer), ("kind", sa.SmallInteger)),
    *(("target", sa.Integer), ("since", sa.Float)),
)


def _column(name: str, kind: type = sa.Text, *, key: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, primary_key=key, nullable=False, autoincrement=False)


def _ends() -> list[sa.Column[Any]]:
    return [_column(name, kind, key=True) for name, kind in _ENDS]


def _places() -> list[sa.Column[Any]]:
    return [_column(key, sa.Integer, key=True) for key in ("observation", "place")]


def upgrade(op: Operations) -> None:
    """Make the tables, and keep what only we knew."""
    for table in ("node", "edge", "evidence", "unresolved"):
        op.drop_table(table)
    op.execute("DELETE FROM observation WHERE collector <> 'session'")
    op.execute("DELETE FROM cursor")
    op.add_column("observation", sa.Column("time", sa.Float))
    op.create_table("projection", _column("made", key=True))
    op.create_table(
        "node",
        _column("id", sa.Integer, key=True),
        *map(_column, ("uri", "kind", "name", "attributes")),
        sa.Column("time", sa.Float),
        *(_column("strength", sa.Integer), _column("told", sa.Float), _column("said")),
        sa.UniqueConstraint("uri"),
    )
    op.create_index("node_by_name", "node", ["name"])
    _create_edges(op)
    op.create_table("unresolved", *_places(), _column("reference"))
    for name in ("alias", "claim"):
        op.create_table(
            name,
            *_places(),
            *(_column("name"), _column("body")),
            *([_column("found", sa.Integer)] if name == "claim" else []),
        )
        op.create_index(f"{name}_by_name", name, ["name"])


def _create_edges(op: Operations) -> None:
    strength = (("until", sa.Float), ("level", sa.SmallInteger))
    op.create_table(
        "edge",
        *_ends(),
        *(_column(name, kind) for name, kind in strength),
        sqlite_with_rowid=False,
    )
    reverse = ["target", "kind", "source", "since", "until", "level"]
    op.create_index("edge_by_target", "edge", reverse)
    if op.get_bind().dialect.name == "postgresql":
        op.create_index("edge_by_source", "edge", ["source", "kind", "target", "level", "until"])
        op.create_index("node_uri", "node", ["id"], postgresql_include=["uri"])
    op.create_table(
        "evidence",
        *_ends(),
        *(_column("observation", sa.Integer, key=True), _column("rule", key=True)),
        _column("origin", key=True),
        *(_column(name, kind) for name, kind in strength),
        sqlite_with_rowid=False,
    )
    op.create_index("evidence_by_origin", "evidence", ["origin"])
