"""What is true in a scenario, and how much of it the graph has.

A scenario is a test of this folder: a few native commands, a collection, and the whole truth.

1. Ask for the fixtures `bench` (a folder with MLflow's database, Feast repos and a session; see
   `native.py`) and `check`. `bench` hides our entry points from MLflow, as for people who never
   installed us; the fixture `ambient` brings them back. A script in a process of its own gets
   `bench.environment()`, or `bench.environment(ambient=True)`. Tools of which `bench` knows nothing
   are used as their own manuals say, in folders below `bench.folder`; name their places with
   `bench.plugins["kfp"] = {...}`.
2. Work natively: the tool's own calls and commands, nothing of ours.
3. Write the `Truth` from what those commands DID, by hand, not from what the graph shows. Every
   node, column and edge is told; what is not told counts as wrong. A hash in a URN is opaque: take
   it when it comes to be (`repo.view("v")` after `feast apply`).
   - `truth.node(kind, uri, "column", ...)` a thing and its columns (with their FIELD edges);
   - `truth.edge(source, "INPUT", target)` an edge that records prove: declared to derived;
   - `truth.columns(source, target, "a", b="c")` a -> a and b -> c, column by column;
   - `truth.guess(..., right=True)` drawn as inferred; `right` says whether it really is so;
   - `truth.lost(..., why=...)` true, but no native record tells it: must be absent, costs recall;
   - `truth.false(..., why=...)` untrue, but a native record says it: present, costs precision;
   - `truth.unresolved("part of the text")` what must be listed as unresolved, and nothing else.
4. `check(bench.collect(), truth)` compares nodes, edges and unresolved texts both ways and fails
   with what is missing and what is extra; asks for the origins of each model; collects again and
   rebuilds; and adds the scenario to the table at the end. Where a scenario is about some kinds of
   nodes only: `check(..., about={"run", "model"}, why="...")`.
5. `pytestmark = pytest.mark.story`, so that all run together and the table is one. Traps of the
   design have their number in the test's name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from unified_mlops.lineage.store import Store
from unified_mlops.lineage.urn import column, is_column
from unified_mlops.records import EdgeKind

Triple = tuple[str, str, str]
"""The source, kind and target of an edge."""


class Truth:
    """What really happened, and how the graph is to show it."""

    def __init__(self) -> None:
        self.nodes: set[tuple[str, str]] = set()
        self.edges: set[Triple] = set()
        self.guesses: dict[Triple, bool] = {}
        self.unknowable: dict[Triple, str] = {}
        self.untrue: dict[Triple, str] = {}
        self.texts: set[str] = set()

    def node(self, kind: str, uri: str, *columns: str) -> str:
        """A thing, with some of its columns."""
        self.nodes.add((kind, uri))
        for name in columns:
            self.nodes.add(("column", column(uri, name)))
            self.edge(uri, "FIELD", column(uri, name))
        return uri

    def edge(self, source: str, kind: EdgeKind, target: str) -> None:
        """An edge that native records prove."""
        self.edges.add((source, kind, target))

    def columns(self, source: str, target: str, *same: str, **renamed: str) -> None:
        """Columns of the target, each from one of the source."""
        for name, to in {**dict.fromkeys(same, ""), **renamed}.items():
            self.edge(column(source, name), "DERIVES", column(target, to or name))

    def guess(self, source: str, kind: EdgeKind, target: str, *, right: bool) -> None:
        """An edge that is to be drawn as inferred; whether it is right cannot be told."""
        self.guesses[source, kind, target] = right

    def lost(self, source: str, kind: EdgeKind, target: str, *, why: str) -> None:
        """A true edge of which no native record knows."""
        self.unknowable[source, kind, target] = why

    def false(self, source: str, kind: EdgeKind, target: str, *, why: str) -> None:
        """An untrue edge that a native record tells all the same."""
        self.untrue[source, kind, target] = why

    def unresolved(self, *pieces: str) -> None:
        """Pieces of the texts that are to be listed as unresolved."""
        self.texts.update(pieces)

    @property
    def all_true(self) -> set[Triple]:
        """The edges as they really are."""
        return self.edges | {e for e, right in self.guesses.items() if right} | {*self.unknowable}

    def origins(self, thing: str) -> set[str]:
        """The datasets that a thing comes from, by the edges that the graph is to have for sure.

        What a thing is a version of says nothing of where it comes from.
        """
        above: dict[str, set[str]] = {}
        for source, kind, target in self.edges | {*self.untrue}:
            if kind not in {"VERSION_OF", "FIELD"} and not is_column(source):
                above.setdefault(target, set()).add(source)
        met, waiting = {thing}, [thing]
        while waiting:
            new = above.get(waiting.pop(), set()) - met
            met |= new
            waiting += new
        return {uri for kind, uri in self.nodes if kind == "dataset" and uri in met}


@dataclass(frozen=True)
class Share:
    """How many of some things are as they should be."""

    good: int = 0
    all: int = 0

    def __add__(self, other: Share) -> Share:
        return Share(self.good + other.good, self.all + other.all)

    def __float__(self) -> float:
        return self.good / self.all if self.all else 1.0

    def __str__(self) -> str:
        return f"{float(self):.3f}"


@dataclass(frozen=True)
class Score:
    """How well a graph shows what is true, and in words what is wrong with it."""

    name: str = ""
    nodes: int = 0
    precision: Share = Share()
    recall: Share = Share()
    precision_inferred: Share = Share()
    recall_inferred: Share = Share()
    wrong: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()

    @property
    def shares(self) -> tuple[Share, ...]:
        """Precision and recall of what is declared to derived, and with what is inferred."""
        return self.precision, self.recall, self.precision_inferred, self.recall_inferred

    def __add__(self, other: Score) -> Score:
        sums = (mine + theirs for mine, theirs in zip(self.shares, other.shares, strict=True))
        return Score("", self.nodes + other.nodes, *sums)


@dataclass
class _Graph:
    """What a store holds, restricted to the kinds of nodes that are asked for."""

    kinds: dict[str, str]
    sure: set[Triple] = field(default_factory=set)
    inferred: set[Triple] = field(default_factory=set)

    @classmethod
    def of(cls, store: Store, about: Collection[str] | None) -> _Graph:
        nodes = {uri: node.kind for uri, node in store.nodes().items()}
        found = cls({uri: kind for uri, kind in nodes.items() if about is None or kind in about})
        for edge in store.edges():
            if edge.source in found.kinds and edge.target in found.kinds:
                into = found.inferred if edge.level == "inferred" else found.sure
                into.add((edge.source, edge.kind, edge.target))
        found.inferred -= found.sure  # at another time it was sure
        return found


def measure(
    name: str, store: Store, truth: Truth, about: Collection[str] | None = None, why: str = ""
) -> Score:
    """Compare a graph with the truth.

    Args:
        name: of the scenario.
        store: the graph.
        truth: all of it, or all about some kinds of nodes.
        about: the kinds of nodes that are compared; None: all.
        why: why not all.
    """
    assert (about is None) == (not why), "say why only some kinds of nodes are compared"
    found = _Graph.of(store, about)
    nodes = {(kind, uri) for uri, kind in found.kinds.items()}
    texts = [each["reference"] for each in store.unresolved()] if about is None else []
    true, every = truth.all_true, found.sure | found.inferred
    wrong = [
        *_compare("node", truth.nodes, nodes),
        *_compare("edge", truth.edges | {*truth.untrue}, found.sure),
        *_compare("inferred edge", {*truth.guesses}, found.inferred),
        *_unmatched(truth.texts if about is None else set(), texts),
    ]
    return Score(
        name,
        len(nodes),
        Share(len(true & found.sure), len(found.sure)),
        Share(len(true & found.sure), len(true)),
        Share(len(true & every), len(every)),
        Share(len(true & every), len(true)),
        tuple(wrong),
        tuple(dict.fromkeys([*([why] if why else []), *_limits(truth)])),
    )


def _compare(what: str, wanted: Iterable[object], found: Iterable[object]) -> Iterable[str]:
    wanted, found = set(wanted), set(found)
    for word, items in (("missing", wanted - found), ("extra", found - wanted)):
        for item in sorted(items, key=str):
            yield f"{word} {what}: {' '.join(item)}"  # type: ignore[arg-type]


def _unmatched(pieces: set[str], texts: list[str]) -> Iterable[str]:
    yield from (f"missing unresolved: {p}" for p in pieces if not any(p in t for t in texts))
    yield from (f"extra unresolved: {t}" for t in texts if not any(p in t for p in pieces))


def _limits(truth: Truth) -> Iterable[str]:
    for word, edges in (("lost", truth.unknowable), ("false", truth.untrue)):
        for why in dict.fromkeys(edges.values()):
            yield f"{sum(reason == why for reason in edges.values())} {word}: {why}"
