from pathlib import Path

import pytest

from unified_mlops.errors import LineageError, NotFoundError
from unified_mlops.lineage.api import Lineage
from unified_mlops.records import Collection, Edge, Event, Node, Observation, Ref
from unified_mlops.session import Told

SOURCE, OTHER = "file:///src.parquet", "file:///other.parquet"
EDGES = [
    (SOURCE, "FIELD", f"{SOURCE}#temp"),
    (SOURCE, "FIELD", f"{SOURCE}#wind"),
    (SOURCE, "DERIVES", "v"),
    (OTHER, "DERIVES", "w"),
    (f"{SOURCE}#temp", "DERIVES", "v#temp"),
    (f"{SOURCE}#wind", "DERIVES", "v#wind"),
    ("v", "FIELD", "v#temp"),
    ("v", "DERIVES", "train"),
    ("w", "DERIVES", "train"),
    ("v#temp", "DERIVES", "train#temp"),
    ("v#wind", "DERIVES", "train#wind"),
    ("train", "FIELD", "train#temp"),
    ("train", "FIELD", "train#hour"),
    ("train", "INPUT", "run"),
    ("experiment", "PARENT_OF", "run"),
    ("experiment", "PARENT_OF", "sibling"),
    ("run", "OUTPUT", "model"),
    ("model", "FIELD", "model#temp"),
    ("model", "FIELD", "model#wind"),
    ("train#temp", "DERIVES", "model#temp"),
    ("train#wind", "DERIVES", "model#wind"),
    ("model", "DERIVES", "version"),
    ("registered", "VERSION_OF", "version"),
    ("registered", "VERSION_OF", "older"),
    ("version", "DERIVES", "prediction"),
    ("train#temp", "OBSERVES", "alert"),
    ("report", "DERIVES", "alert"),
]


@pytest.fixture
def lineage(tmp_path: Path) -> Lineage:
    lineage = Lineage(tmp_path / "g.db", lambda cursors: Told())
    names = {end for edge in EDGES for end in (edge[0], edge[2])}
    nodes = tuple(
        Node(name, "column" if "#" in name else "dataset", name) for name in sorted(names)
    )
    edges = tuple(Edge(a, kind, b) for a, kind, b in EDGES)  # type: ignore[arg-type]
    lineage.store.add("test", [Observation("all", nodes, edges)])
    return lineage


def test_upstream_of_a_prediction_is_everything_it_came_from(lineage: Lineage) -> None:
    met = set(lineage.upstream("prediction").nodes)
    assert met == {
        *("prediction", "version", "registered", "model", "run", "experiment"),
        *("train", "v", "w", SOURCE, OTHER),
    }


def test_columns_upstream_of_a_prediction_are_reached_through_the_model(lineage: Lineage) -> None:
    met = set(lineage.upstream("prediction", plane="column").nodes)
    assert {f"{SOURCE}#temp", f"{SOURCE}#wind", "v#temp", "model#wind"} <= met


def test_an_alert_leads_to_its_one_source_column_and_not_its_neighbours(lineage: Lineage) -> None:
    found = lineage.upstream("alert", plane="column")
    assert [node.uri for node in found.source_columns] == [f"{SOURCE}#temp"]
    assert not any("wind" in uri for uri in found.nodes)


def test_downstream_of_a_source_column_goes_on_from_the_model_as_a_whole(lineage: Lineage) -> None:
    met = set(lineage.downstream(f"{SOURCE}#temp").nodes)
    assert {"v#temp", "train#temp", "model#temp", "model", "version", "prediction", "alert"} <= met
    assert "w" not in met
    assert f"{SOURCE}#wind" not in met


def test_a_column_that_comes_from_no_column_goes_on_coarsely(lineage: Lineage) -> None:
    found = lineage.upstream("train#hour")
    assert {"train", "v", SOURCE} <= set(found.nodes)
    assert "v" in found.coarse
    assert "train#hour" not in found.coarse


def test_a_column_whose_owner_nobody_knows_ends_the_walk(tmp_path: Path) -> None:
    lineage = Lineage(tmp_path / "o.db", lambda cursors: Told())
    edge = Edge("s3://b/x#a", "DERIVES", "s3://b/y#a")
    lineage.store.add("test", [Observation("one", (), (edge,))])
    assert list(lineage.upstream("s3://b/y#a").nodes) == ["s3://b/y#a", "s3://b/x#a"]


def test_siblings_do_not_leak_in_through_a_parent(lineage: Lineage) -> None:
    assert "sibling" not in lineage.downstream("experiment").nodes
    assert "older" not in lineage.upstream("prediction").nodes


def test_the_table_plane_never_crosses_field(lineage: Lineage) -> None:
    assert not any("#" in uri for uri in lineage.downstream(SOURCE).nodes)


def test_path_is_the_shortest_way_down(lineage: Lineage) -> None:
    found = lineage.path(SOURCE, "prediction")
    assert list(found.nodes) == [SOURCE, "v", "train", "run", "model", "version", "prediction"]


def test_no_path_is_an_error(lineage: Lineage) -> None:
    with pytest.raises(LineageError, match="no path from 'prediction' to 'v'"):
        lineage.path("prediction", "v")


def test_a_walk_that_is_cut_off_says_so(lineage: Lineage) -> None:
    found = lineage.upstream("prediction", max_nodes=3)
    assert found.truncated
    assert len(found.nodes) == 3


def test_an_unknown_thing_names_the_nearest(lineage: Lineage) -> None:
    with pytest.raises(NotFoundError, match="does not know 'predicton'\n.*did you mean prediction"):
        lineage.upstream("predicton")


def test_an_event_inside_a_run_that_writes_nothing_is_the_runs_input(tmp_path: Path) -> None:
    lineage = Lineage(tmp_path / "e.db", lambda cursors: Told())
    view = Ref("t", "feature_view", "v", "t:v")
    run = Ref("t", "run", "r", "t:run/r")
    for _ in range(3):
        lineage.record(Event("mlops_read_online", (view,), (), run))
    assert list(lineage.upstream(run).nodes) == ["t:run/r", "t:v"]
    assert lineage.upstream(run).edges[0].kind == "INPUT"


def test_declared_data_and_columns_are_edges(tmp_path: Path) -> None:
    lineage = Lineage(tmp_path / "d.db", lambda cursors: Told())
    a, b = tmp_path / "a.parquet", tmp_path / "b.parquet"
    lineage.declare([a], [b], {f"{b}#rate": [f"{a}#delay"]})
    assert f"file://{a}" in lineage.upstream(str(b)).nodes
    assert f"file://{a}#delay" in lineage.upstream(f"{b}#rate").nodes


def test_collect_names_the_collectors_that_failed_and_keeps_the_others(tmp_path: Path) -> None:
    found = Observation("k", (Node("n", "dataset", "n"),), ())
    told = Told({"good": Collection([found], "1")}, {"bad": OSError("away")})
    lineage = Lineage(tmp_path / "c.db", lambda cursors: told)
    assert list(lineage.collect()) == ["bad"]
    assert "n" in lineage.store.nodes()
    assert lineage.store.cursors() == {"good": "1"}
