"""What every part of the memory plugin stands on: records by URN, and what they say of lineage."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import uuid4

from unified_mlops.errors import NotFoundError
from unified_mlops.records import Edge, Node, Observation, Record, Ref

PLUGIN = "memory"

_Record = TypeVar("_Record", bound=Record)


class Store:
    """Everything held, by URN, and one observation for each thing held.

    Args:
        workspace: the session's folder; only what must be a file goes there.
    """

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        self.held: dict[str, Record] = {}
        self.objects: dict[str, Any] = {}
        self._observations: dict[str, tuple[int, Observation]] = {}
        self._count = 0

    def _ref(self, kind: str, name: str | None = None) -> Ref:
        """A ref for a new thing: by its name, or by a new id where names may repeat."""
        key = uuid4().hex if name is None else name
        return Ref(PLUGIN, kind, key, f"{PLUGIN}:{kind}/{quote(key)}")

    def _keep(self, record: _Record, name: str, edges: Iterable[Edge] = ()) -> _Record:
        """Hold a record in place of what had its URN, and observe it."""
        self.held[record.ref.uri] = record
        self._observe(record.ref, name, edges)
        return record

    def _all(self, kind: type[_Record]) -> list[_Record]:
        """The records of one type, oldest first."""
        return [record for record in self.held.values() if type(record) is kind]

    def _find(self, kind: type[_Record], ref: Ref) -> _Record:
        record = self.held.get(ref.uri)
        if type(record) is not kind:
            raise missing(f"no {ref.kind} {ref.id!r}", [held.ref.id for held in self._all(kind)])
        return record

    def _observe(
        self, ref: Ref, name: str, edges: Iterable[Edge] = (), nodes: Iterable[Node] = ()
    ) -> None:
        """Add to what is known of one native record, and make it news."""
        self._count += 1
        old = self._observations.get(ref.uri, (0, Observation(ref.uri, (), ())))[1]
        known = {node.uri: node for node in (*old.nodes, Node(ref.uri, ref.kind, name), *nodes)}
        merged = tuple(dict.fromkeys((*old.edges, *edges)))
        news = replace(old, nodes=tuple(known.values()), edges=merged)
        self._observations[ref.uri] = (self._count, news)


def missing(fact: str, known: Iterable[str]) -> NotFoundError:
    """The error for something that is not there, with what is."""
    there = ", ".join(known)
    return NotFoundError(fact, hint=f"one of: {there}" if there else "create it first")
