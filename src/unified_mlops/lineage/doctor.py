"""What in the graph is contradictory, ambiguous or unresolved. Nothing is mended silently."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from unified_mlops.lineage.store import Store
from unified_mlops.lineage.urn import is_column, owner
from unified_mlops.records import Edge


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a person should look at.

    Args:
        kind: what is wrong.
        about: the URN or the native record that it is about.
        fact: what the records say.
        hint: what to do.
    """

    kind: Literal["contradiction", "ambiguous", "unresolved"]
    about: str
    fact: str
    hint: str


def examine(store: Store) -> list[Finding]:
    """All that should be looked at, contradictions first."""
    return [*_contradictions(store), *_ambiguous(store), *_unresolved(store)]


def _contradictions(store: Store) -> Iterator[Finding]:
    """Declared against recorded, and things with two makers. Both sides are kept."""
    edges = sorted(store.edges(), key=lambda edge: edge.target)
    for target, group in groupby(edges, key=lambda edge: edge.target):
        into = list(group)
        yield from _two_makers(target, into)
        if is_column(target):
            yield from _two_origins(target, into)


def _two_makers(target: str, into: Iterable[Edge]) -> Iterator[Finding]:
    """A model version is made from one model, and a model by one run."""
    makers = sorted({e.source for e in into if e.kind == "OUTPUT" and e.level != "inferred"})
    if len(makers) > 1 and target.startswith("mlflow:"):
        fact = f"it was made by {' and by '.join(makers)}"
        yield Finding("contradiction", target, fact, f"umlops lineage explain {makers[0]} {target}")


def _two_origins(target: str, into: Iterable[Edge]) -> Iterator[Finding]:
    """A column whose declared origins and recorded origins lie in the same tables, and differ."""
    by: dict[str, set[str]] = {"declared": set(), "recorded": set()}
    for edge in into:
        if edge.kind == "DERIVES" and edge.level in by and is_column(edge.source):
            by[edge.level].add(edge.source)
    declared, recorded = by["declared"], by["recorded"]
    shared = {owner(uri) for uri in declared} & {owner(uri) for uri in recorded}
    odd = sorted(uri for uri in declared ^ recorded if owner(uri) in shared)
    if declared and recorded and odd and not declared & recorded:
        fact = f"declared from {', '.join(sorted(declared))}; recorded from "
        fact += ", ".join(sorted(recorded))
        yield Finding("contradiction", target, fact, f"umlops lineage explain {odd[0]} {target}")


def _ambiguous(store: Store) -> Iterator[Finding]:
    for item in store.claims(least=2):
        claim = item["claim"]
        fact = f"{claim['name']!r} may have meant {item['found']} things at that time"
        hint = "collect more often, or name the version; both are in the graph as inferred"
        yield Finding("ambiguous", claim["thing"], fact, hint)


def _unresolved(store: Store) -> Iterator[Finding]:
    for item in store.unresolved():
        about = f"{item['collector']} {item['key']}"
        hint = "give absolute paths; collect the store that owns the name"
        yield Finding("unresolved", about, item["reference"], hint)
