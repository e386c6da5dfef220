import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unified_mlops.errors import BackendError
from unified_mlops.lineage.store import Store
from unified_mlops.records import Edge, Node, Observation


def graph(store: Store) -> tuple[object, object]:
    nodes = sorted(store.nodes().items(), key=lambda item: item[0])
    edges = sorted(store.edges(), key=repr)
    evidence = store.evidence(edges)
    return nodes, [(e, sorted(evidence[e.source, e.kind, e.target], key=repr)) for e in edges]


def seen(key: str, *ends: str, level: str = "recorded") -> Observation:
    nodes = tuple(Node(end, "dataset", end.upper(), {"by": key}) for end in ends)
    pairs = itertools.pairwise(ends)
    edges = tuple(Edge(a, "DERIVES", b, level, "r") for a, b in pairs)  # type: ignore[arg-type]
    return Observation(key, nodes, edges, unresolved=(f"x/{key}",))


def test_reading_a_graph_that_was_never_written_creates_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "none" / "g.db")
    assert (store.nodes(), store.edges(), store.cursors()) == ({}, [], {})
    assert not (tmp_path / "none").exists()


def test_the_same_observation_twice_adds_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "g.db")
    assert store.add("c", [seen("1", "a", "b")]) == 1
    before = graph(store)
    assert store.add("c", [seen("1", "a", "b")]) == 0
    assert graph(store) == before


def test_cursor_is_kept_with_the_observations(tmp_path: Path) -> None:
    store = Store(tmp_path / "g.db")
    store.add("c", [seen("1", "a", "b")], "42")
    assert store.cursors() == {"c": "42"}


def test_every_saying_of_an_edge_is_evidence_and_the_strongest_is_its_level(tmp_path: Path) -> None:
    store = Store(tmp_path / "g.db")
    store.add("c", [seen("1", "a", "b", level="inferred")])
    store.add("d", [seen("2", "a", "b", level="recorded")])
    (edge,) = store.edges()
    assert edge.level == "recorded"
    (evidence,) = store.evidence([edge]).values()
    assert [item.collector for item in evidence] == ["d", "c"]
    assert store.edges("source", ["a"], "derived") == [edge]
    assert store.unresolved()[0]["reference"] == "x/1"


def test_weaker_evidence_is_left_out_where_it_is_not_asked_for(tmp_path: Path) -> None:
    store = Store(tmp_path / "g.db")
    store.add("c", [seen("1", "a", "b", level="inferred")])
    assert store.edges("source", ["a"], "derived") == []


observations = st.lists(
    st.tuples(
        st.sampled_from("cd"),
        st.builds(
            seen,
            st.sampled_from("12345"),
            st.sampled_from("ab"),
            st.sampled_from("xyz"),
            level=st.sampled_from(["declared", "recorded", "derived", "inferred"]),
        ),
    ),
    max_size=8,
    unique_by=lambda item: (item[0], item[1].key),
)


@given(observations, st.randoms())
@settings(max_examples=25, deadline=None)
def test_order_and_rebuilding_do_not_change_the_graph(
    tmp_path_factory: pytest.TempPathFactory, said: list[tuple[str, Observation]], random: object
) -> None:
    folder = tmp_path_factory.mktemp("graphs")
    first, second = Store(folder / "1.db"), Store(folder / "2.db")
    for collector, observation in said:
        first.add(collector, [observation])
    shuffled = list(said)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for collector, observation in shuffled:
        second.add(collector, [observation])
    expected = graph(first)
    assert graph(second) == expected
    first.rebuild()
    assert graph(first) == expected


def test_a_corrupted_database_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "g.db"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(BackendError, match="g.db.*is corrupted.*\n.*mv "):
        Store(path).add("c", [seen("1", "a", "b")])
