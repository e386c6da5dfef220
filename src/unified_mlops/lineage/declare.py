"""Lineage is declared in the contract: what a hook reads and writes stands beside its spec."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from unified_mlops.records import (
    ARTIFACTS,
    CONTEXTS,
    EXECUTIONS,
    Edge,
    EdgeKind,
    Event,
    Node,
    Observation,
    Record,
    Ref,
)

_Spec = TypeVar("_Spec", bound=Callable[..., Any])
_ATTRIBUTE = "__lineage__"
RESULT = "result"


@dataclass(frozen=True, slots=True)
class Declaration:
    """The parameters (or `result`) that a hook reads and writes, or why it has no lineage."""

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    excuse: str = ""


class _Declare:
    """The decorator `@lineage(reads=..., writes=...)` and its excuse `@lineage.none("why")`."""

    def __call__(
        self, *, reads: tuple[str, ...] = (), writes: tuple[str, ...] = ()
    ) -> Callable[[_Spec], _Spec]:
        return self._mark(Declaration(reads, writes))

    def none(self, excuse: str) -> Callable[[_Spec], _Spec]:
        """Say why a hook moves nothing."""
        return self._mark(Declaration(excuse=excuse))

    @staticmethod
    def _mark(declaration: Declaration) -> Callable[[_Spec], _Spec]:
        def mark(spec: _Spec) -> _Spec:
            setattr(spec, _ATTRIBUTE, declaration)
            return spec

        return mark


lineage = _Declare()


def declaration_of(spec: Callable[..., Any]) -> Declaration | None:
    """The declaration beside a hook specification, if it has one."""
    found: Declaration | None = getattr(spec, _ATTRIBUTE, None)
    return found


def derive_event(
    spec: Callable[..., Any], arguments: Mapping[str, Any], result: Any, run: Ref | None
) -> Event | None:
    """The event of one call, or None where the contract says that nothing moved."""
    declaration = declaration_of(spec)
    if declaration is None or declaration.excuse:
        return None
    values = {**arguments, RESULT: result}
    reads = tuple(ref for name in declaration.reads for ref in _refs(values[name]))
    writes = tuple(ref for name in declaration.writes for ref in _refs(values[name]))
    moved = [values[name] for name in (*declaration.reads, *declaration.writes)]
    edges = tuple(edge for value in moved for record in _records(value) for edge in record.edges)
    if not (reads or writes or edges):
        return None
    return Event(spec.__name__, reads, writes, run, edges)


def edge_kind(source: str, target: str) -> EdgeKind:
    """The one kind of edge that may run between two kinds of node."""
    if target in {"report", "alert"} and source != "report":
        return "OBSERVES"
    if source in CONTEXTS:
        return "PARENT_OF"
    if source in EXECUTIONS:
        return "OUTPUT" if target in ARTIFACTS else "PARENT_OF"
    return "INPUT" if target in EXECUTIONS else "DERIVES"


def _records(value: Any) -> Iterator[Record]:
    if isinstance(value, Record):
        yield value
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        yield from (item for item in value if isinstance(item, Record))


def _refs(value: Any) -> Iterator[Ref]:
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        yield from (item for item in value if isinstance(item, Ref))
    yield from (record.ref for record in _records(value))


def observation(event: Event) -> Observation:
    """An event as nodes and edges: from what was read to what was written or to the run."""
    readers = event.writes or ((event.run,) if event.run else ())
    refs = dict.fromkeys((*event.reads, *readers))
    nodes = tuple(Node(ref.uri, ref.kind, ref.id) for ref in refs)
    made = tuple(
        Edge(read.uri, edge_kind(read.kind, to.kind), to.uri, "declared", event.hook)
        for read in event.reads
        for to in readers
    )
    edges = tuple(dict.fromkeys(made + event.edges))
    key = hashlib.sha256(repr((event.hook, nodes, edges)).encode()).hexdigest()[:16]
    return Observation(key, nodes, edges)
