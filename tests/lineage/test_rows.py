import gc
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.lineage.test_query import EDGES

from unified_mlops.lineage.query import Question, walk
from unified_mlops.lineage.rows import many, numbered
from unified_mlops.lineage.schema import tables
from unified_mlops.lineage.store import Store
from unified_mlops.records import Edge, Node, Observation


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    server = request.param == "postgresql"
    store = Store(request.getfixturevalue("postgres_database") if server else tmp_path / "g.db")
    yield store
    store.database.close()


@pytest.mark.parametrize("wanted", [[], [1], [9, 2, 3, 4, 2], [1, 2, 3, 5, 6, 8, 10], [4, 77]])
def test_rows_are_read_by_numbers_whatever_gaps_they_have(store: Store, wanted: list[int]) -> None:
    nodes = tuple(Node(f"n{n}", "dataset", f"n{n}") for n in range(10))
    store.add("test", [Observation("k", nodes)])
    number = tables().tables["node"].c.id
    with store.database.reading() as connection:
        ask = numbered(connection, select(number), number)
        for _ in range(2):
            assert sorted(ask(wanted)) == [(n,) for n in sorted(set(wanted)) if n <= 10]


def test_a_walk_is_the_same_in_every_database(store: Store, tmp_path: Path) -> None:
    edges = tuple(Edge(a, kind, b) for a, kind, b in EDGES)  # type: ignore[arg-type]
    late = (Node("version", "model_version", "v", time=50), Node("run", "run", "r", time=5.5))
    told = Observation("all", late, edges)
    other = Store(tmp_path / "other.db")
    for one in (store, other):
        one.add("test", [told])
    ways = itertools.product(("up", "down"), ("table", "column"), (None, 6.0))
    for direction, plane, moment in ways:
        question = Question(direction, plane, as_of=moment)  # type: ignore[arg-type]
        for root in ("train", "train#hour", "file:///src.parquet#temp"):
            ours, theirs = walk(store, root, question), walk(other, root, question)
            assert list(ours.nodes.items()) == list(theirs.nodes.items())
            assert set(ours.edges) == set(theirs.edges)
            assert set(ours.edges) == {step.edge for step in ours.steps}
            assert len(ours.edges) == len(set(ours.edges))
            assert list(walk(store, root, question).nodes) == list(ours.nodes)  # URNs alone
            assert "version" not in ours.nodes or not moment


def test_the_search_for_cycles_goes_on_after_many_rows() -> None:
    with pytest.raises(ValueError, match="broken"), many():
        assert not gc.isenabled()
        raise ValueError("broken")
    assert gc.isenabled()
