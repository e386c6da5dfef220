"""The graph of the first version: nodes by URN, edges by the URNs of their ends."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa  # noqa: TID253  a migration is only ever run by Alembic
from alembic.operations import Operations

revision = "0001"
down_revision = None


def _text(*names: str, key: bool = False) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.Text, primary_key=key, nullable=False) for name in names]


def upgrade(op: Operations) -> None:
    """Make the tables."""
    op.create_table(
        "observation",
        sa.Column("id", sa.Integer, primary_key=True),
        *_text("collector", "key", "hash", "body"),
        sa.UniqueConstraint("collector", "key", "hash"),
    )
    level = [sa.Column("level", sa.Integer, nullable=False)]
    ends = ("source", "kind", "target")
    strength = sa.Column("strength", sa.Integer, nullable=False)
    described = _text("kind", "name", "attributes", "said")
    op.create_table("node", *_text("uri", key=True), *described, strength)
    op.create_table("edge", *_text(*ends, key=True), *level)
    told = _text(*ends, "collector", "rule", "key", key=True)
    op.create_table("evidence", *told, sa.Column("level", sa.Integer, nullable=False))
    op.create_table("unresolved", *_text("collector", "key", "reference", key=True))
    op.create_table("cursor", *_text("collector", key=True), *_text("value"))
