"""What tests compare graphs by, and a small world of records of several tools."""

from __future__ import annotations

from typing import Any

from unified_mlops.lineage.store import Store
from unified_mlops.records import Alias, Claim, Edge, Node, Observation

HOUR = 3600.0
VIEW = "feast://s/p/featureView/v"


def graph(store: Store) -> tuple[Any, ...]:
    """Everything that the graph says, free of the numbers that rows happen to have."""
    edges = sorted(store.edges(), key=repr)
    evidence = store.evidence(edges)
    shown = [(e, sorted(evidence[e.source, e.kind, e.target], key=repr)) for e in edges]
    claims = [(c["key"], c["found"], sorted(c["claim"].items())) for c in store.claims(0)]
    return (
        sorted(store.nodes().items()),
        shown,
        sorted(map(repr, store.unresolved())),
        sorted(map(repr, claims)),
    )


def world() -> list[tuple[str, Observation]]:
    """Records of four collectors, whose claims and aliases meet, change and contradict."""
    said = [item for n in range(4) for item in _told_at(n * HOUR, n)]
    again = Node("mlflow:run/0", "run", "r0", {"state": "COMPLETE"}, 0.0)
    declared = Edge("file:///0.parquet", "DERIVES", f"{VIEW}@0", "declared")
    return [
        *said,
        ("mlflow", Observation("run/0", (again,), time=HOUR)),
        ("session", Observation("d", edges=(declared,))),
    ]


def _told_at(at: float, n: int) -> list[tuple[str, Observation]]:
    run, version, report = f"mlflow:run/{n}", f"mlflow://i/registered/m/{n}", f"evidently:{n}"
    state = "COMPLETE" if n % 2 else "RUNNING"
    nodes = (
        Node(run, "run", f"r{n}", {"state": state}, at),
        Node(version, "model_version", f"m@{n}"),
    )
    aliases = (
        Alias("models:/m@prod", version, "mlflow://i", at, at - 60),
        Alias(f"models:/m/{n}", version, "mlflow://i"),
    )
    view = Observation(
        f"view/{n}",
        (Node(f"{VIEW}@{n}", "feature_view", "v"),),
        (Edge(f"file:///{n % 2}.parquet", "DERIVES", f"{VIEW}@{n}"),),
        aliases=(
            Alias("feast:v", f"{VIEW}@{n}", "feast://s/p", at, fields=("a", "b")),
            Alias(VIEW, f"{VIEW}@{n}", "", at),
        ),
    )
    watched = (
        Claim("models:/m@prod", "OBSERVES", report, "report-column", at + 30),
        Claim("models:/m@prod", "OBSERVES", report, "report-column", at - 30),
    )
    made = f"file:///train{n}.parquet"
    retrieved = tuple(
        Claim("feast:v", "DERIVES", f"{made}#v__{field}", "feast-references", at + 1, field)
        for field in ("a", "z")
    )
    seen = Node(report, "report", "r", time=at)
    return [
        ("mlflow", Observation(f"run/{n}", nodes, (Edge(run, "OUTPUT", version),), time=at)),
        ("mlflow", Observation(f"alias/{at}", aliases=aliases)),
        ("feast", view),
        ("evidently", Observation(f"r/{n}", (seen,), claims=watched, unresolved=(f"{n}.csv",))),
        ("mlflow", Observation(f"tags/{n}", claims=retrieved)),
    ]
