"""The graph beside Feast's own lineage store: taking events in, and asking."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.big_graph import COMMUNITY, HUBS, WIDTH, load, one_community, uri
from benchmarks.measure import Result, p95_of, wall_of
from unified_mlops.lineage.query import Question, walk
from unified_mlops.lineage.store import Store
from unified_mlops.records import Edge, Node, Observation

EVENTS = 1000
NODES = 5000


def lineage_ingest() -> Result:
    """A thousand runs, each with a dataset read and one written, in batches of a hundred."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "graph.db")
        store.add("bench", [_run(-1)])
        start = time.perf_counter()
        for first in range(0, EVENTS, 100):
            store.add("bench", [_run(n) for n in range(first, first + 100)])
        ours = time.perf_counter() - start
        from feast.openlineage.processor import OpenLineageProcessor

        processor = OpenLineageProcessor(_feast(folder))
        start = time.perf_counter()
        for number in range(EVENTS):
            processor.process_event(_event(number))
        native = time.perf_counter() - start
    return Result("lineage_ingest", ours, native, f"Feast's lineage store, {EVENTS} events")


def lineage_graph_5000() -> Iterator[Result]:
    """A tree of five thousand: what Feast's answer has of it, and all that is known of it.

    Feast answers with what its nodes are called and with its edges, and with no more.
    """
    pairs = [(max(0, (n - 1) // 20), n) for n in range(1, NODES)]
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "graph.db")
        edges = tuple(Edge(f"file:///{a}", "DERIVES", f"file:///{b}") for a, b in pairs)
        nodes = tuple(Node(f"file:///{n}", "dataset", str(n), {"n": n}) for n in range(NODES))
        store.add("bench", [Observation("all", nodes, edges)])

        def ours() -> None:
            found = walk(store, "file:///0", Question("down"))
            assert len(list(found.nodes)) == NODES
            assert len(found.edges) == NODES - 1

        def described() -> None:
            found = walk(store, "file:///0", Question("down"))
            assert len(list(found.nodes.values())) == NODES
            assert len(found.edges) == NODES - 1

        feast = _feast(folder, pairs)
        native = wall_of(lambda: feast.get_lineage_graph("dataset", "n", "0", 99, "downstream"), 1)
        told = "Feast's get_lineage_graph"
        yield Result("lineage_graph_5000", wall_of(ours, 25), native, told)
        yield Result("lineage_graph_5000_described", wall_of(described, 25), native, told)


def lineage_1m() -> Iterator[Result]:
    """Walks of a graph of a million nodes and five million edges; the 95th percentile of 100.

    Feast is given one of its 62 communities only, and for the great walk a fifth of the way.
    """
    from tests.servers import postgres

    with tempfile.TemporaryDirectory() as folder:
        feast = _feast(folder, one_community())
        leaf = str(COMMUNITY - WIDTH // 2)

        def small() -> object:
            return feast.get_lineage_graph("dataset", "n", leaf, 99, "upstream")

        def part() -> object:
            return feast.get_lineage_graph("dataset", "n", str(HUBS), 2, "downstream")

        native = wall_of(small, 1)
        sqlite = load(Path(folder) / "graph.db")
        yield Result(
            "lineage_upstream_1m_sqlite", _upstream(sqlite), native, "Feast, 1/62 of the graph"
        )
        yield Result(
            "lineage_downstream_1m_sqlite",
            _downstream(sqlite),
            wall_of(part, 1),
            "Feast, 1/62 of the graph, 3,200 of the 16,000 nodes",
        )
        with tempfile.TemporaryDirectory() as other, postgres(Path(other)) as url:
            server = load(url)
            yield Result(
                "lineage_upstream_1m_postgres", _upstream(server), native, "Feast on SQLite, 1/62"
            )
            yield Result(
                "lineage_downstream_1m_postgres",
                _downstream(server),
                wall_of(part, 1),
                "Feast on SQLite, 1/62, 3,200 of the 16,000 nodes",
            )


def _upstream(store: Store) -> float:
    """About 1,600 nodes, from a leaf of any community."""
    chance = random.Random(1)

    def ask() -> None:
        leaf = chance.randrange(HUBS // COMMUNITY) * COMMUNITY - chance.randrange(WIDTH)
        found = walk(store, uri(leaf % HUBS), Question("up"))
        assert list(found.nodes)

    return p95_of(ask, 100)


def _downstream(store: Store) -> float:
    """All 16,000 nodes of a community, from its source."""
    chance = random.Random(1)

    def ask() -> None:
        found = walk(store, uri(HUBS + chance.randrange(HUBS // COMMUNITY)), Question("down"))
        assert len(list(found.nodes)) > COMMUNITY

    return p95_of(ask, 100)


def _run(number: int) -> Observation:
    run, read, made = f"mlflow:run/{number}", f"file:///in/{number % 50}", f"file:///out/{number}"
    nodes = (
        Node(run, "run", f"run {number}", {"state": "COMPLETE"}, float(number)),
        Node(read, "dataset", "in"),
        Node(made, "dataset", "out"),
    )
    return Observation(run, nodes, (Edge(read, "INPUT", run), Edge(run, "OUTPUT", made)))


def _event(number: int) -> dict[str, Any]:
    return {
        "eventType": "COMPLETE",
        "eventTime": "2024-01-01T00:00:00Z",
        "producer": "bench",
        "run": {"runId": f"00000000-0000-0000-0000-{number:012d}"},
        "job": {"namespace": "n", "name": f"run {number}"},
        "inputs": [{"namespace": "n", "name": f"in/{number % 50}"}],
        "outputs": [{"namespace": "n", "name": f"out/{number}"}],
    }


def _feast(folder: str, pairs: list[tuple[int, int]] | None = None) -> Any:
    """Feast's store, its table of edges filled."""
    from feast.openlineage.models import OL_TABLES
    from feast.openlineage.store import OpenLineageStore

    store = OpenLineageStore(connection_string=f"sqlite:///{folder}/feast{len(pairs or ())}.db")
    store.initialize()
    table = OL_TABLES["lineage_edges"]
    ends = ("source", "target")
    names = {end: f"{end}_name" for end in ends}
    fixed = {f"{end}_{part}": value for end in ends for part, value in _FIXED}
    fixed |= {"edge_type": "derives", "created_at": 0, "updated_at": 0}
    known = {name: value for name, value in fixed.items() if name in table.c}
    rows = [known | {names["source"]: str(a), names["target"]: str(b)} for a, b in pairs or ()]
    if rows:
        with store.engine.begin() as connection:
            connection.execute(table.insert(), rows)
    return store


_FIXED = (("type", "dataset"), ("namespace", "n"))
