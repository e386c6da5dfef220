from datetime import datetime, timezone
from pathlib import Path

import pytest

from unified_mlops.errors import LineageError, NotFoundError
from unified_mlops.lineage.api import Lineage
from unified_mlops.records import Alias, Claim, Collection, Edge, Event, Node, Observation, Ref
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
KINDS = {"model": "model", "version": "model_version"}


@pytest.fixture
def lineage(tmp_path: Path) -> Lineage:
    lineage = Lineage(tmp_path / "g.db", lambda cursors: Told())
    names = {end for edge in EDGES for end in (edge[0], edge[2])}
    nodes = tuple(
        Node(name, KINDS.get(name, "column" if "#" in name else "dataset"), name)
        for name in sorted(names)
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


def test_an_old_definition_does_not_come_from_what_the_new_one_comes_from(tmp_path: Path) -> None:
    lineage = Lineage(tmp_path / "v.db", lambda cursors: Told())
    edges = [
        Edge("f1", "DERIVES", "a@1"),
        Edge("f2", "DERIVES", "a@2"),
        Edge("a", "VERSION_OF", "a@1"),
        Edge("a", "VERSION_OF", "a@2"),
        Edge("a@1", "DERIVES", "a", until=5.0),
        Edge("a@2", "DERIVES", "a", since=5.0),
        Edge("project", "PARENT_OF", "a"),
    ]
    lineage.store.add("test", [Observation("k", edges=tuple(edges))])
    assert set(lineage.upstream("a@1").nodes) == {"a@1", "f1", "a", "project"}
    assert set(lineage.upstream("a").nodes) == {"a", "a@2", "f2", "project"}
    assert {step.there for step in lineage.upstream("a@1").next("a")} == {"project"}
    assert "a@1" in lineage.upstream("a", as_of=at(3)).nodes


def test_a_report_on_a_column_does_not_hide_what_depends_on_its_model(lineage: Lineage) -> None:
    watched = Edge("model#temp", "OBSERVES", "another alert")
    lineage.store.add("monitor", [Observation("r", edges=(watched,))])
    met = lineage.impact(f"{SOURCE}#temp").nodes
    assert {"another alert", "model", "version", "prediction"} <= set(met)


def test_a_column_does_not_reach_the_metric_of_its_neighbour_through_their_report(
    lineage: Lineage,
) -> None:
    edges = (
        Edge("version", "OBSERVES", "report"),
        Edge("report", "DERIVES", "metric of temp"),
        Edge("report", "DERIVES", "metric of wind"),
        Edge("report", "DERIVES", "count of drifted columns"),
        Edge("model#temp", "OBSERVES", "metric of temp"),
        Edge("model#wind", "OBSERVES", "metric of wind"),
    )
    lineage.store.add("monitor", [Observation("r", edges=edges)])
    met = set(lineage.impact(f"{SOURCE}#temp").nodes)
    assert {"report", "metric of temp", "count of drifted columns"} <= met
    assert "metric of wind" not in met
    assert "metric of wind" in lineage.downstream("version").nodes


def test_as_of_a_moment_the_columns_of_what_came_later_are_not_met(tmp_path: Path) -> None:
    lineage = Lineage(tmp_path / "c.db", lambda cursors: Told())
    nodes = (Node("v1", "model_version", "v1", time=5), Node("v2", "model_version", "v2", time=50))
    edges = tuple(
        edge
        for name in ("v1", "v2")
        for edge in (Edge(f"{SOURCE}#x", "DERIVES", f"{name}#x"), Edge(name, "FIELD", f"{name}#x"))
    )
    lineage.store.add("test", [Observation("k", nodes, edges)])
    assert {"v1", "v2"} <= set(lineage.impact(f"{SOURCE}#x").nodes)
    met = set(lineage.impact(f"{SOURCE}#x", as_of=at(10)).nodes)
    assert met == {f"{SOURCE}#x", "v1#x", "v1"}


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


# --- time, evidence, names -------------------------------------------------------------------


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


@pytest.fixture
def timed(tmp_path: Path) -> Lineage:
    """Version 1 was on the endpoint from 10 to 30, version 2 is since 30; an alias did likewise."""
    lineage = Lineage(tmp_path / "t.db", lambda cursors: Told())
    versions = [Node(f"reg://i/m/{n}", "model_version", f"m@{n}", time=n * 5.0) for n in (1, 2)]
    lineage.store.add("test", [
        Observation(
            "endpoint",
            (*versions, Node("ray://c/serve/e", "endpoint", "e"),
             Node("prediction:1", "prediction", "one", time=20)),
            (Edge("reg://i/m/1", "DERIVES", "ray://c/serve/e", since=10, until=30),
             Edge("reg://i/m/2", "DERIVES", "ray://c/serve/e", since=30),
             Edge("reg://i/m/1", "DERIVES", "prediction:1")),
            aliases=(Alias("models:/m@prod", "reg://i/m/1", "i", since=10),
                     Alias("models:/m@prod", "reg://i/m/2", "i", since=40, after=30)),
        ),
    ])  # fmt: skip
    return lineage


def test_now_an_endpoint_comes_from_what_is_on_it(timed: Lineage) -> None:
    assert list(timed.upstream("e").nodes) == ["ray://c/serve/e", "reg://i/m/2"]


@pytest.mark.parametrize(("moment", "expected"), [(9, set()), (20, {"1"}), (30, {"2"})])
def test_as_of_a_moment_an_endpoint_comes_from_what_was_on_it(
    timed: Lineage, moment: float, expected: set[str]
) -> None:
    met = timed.upstream("e", as_of=at(moment)).of_kind("model_version")
    assert {node.uri[-1] for node in met} == expected


def test_as_of_a_moment_nothing_is_met_that_came_to_be_later(timed: Lineage) -> None:
    assert "prediction:1" in timed.downstream("m@1").nodes
    assert "prediction:1" not in timed.downstream("m@1", as_of=at(19)).nodes


def test_what_was_not_there_yet_has_no_lineage_then(timed: Lineage) -> None:
    with pytest.raises(LineageError, match="'prediction:1' was not there yet"):
        timed.upstream("prediction:1", as_of=at(19))


def test_a_name_is_what_it_meant_at_the_moment_asked_about(timed: Lineage) -> None:
    assert timed.resolve("models:/m@prod") == "reg://i/m/2"
    assert timed.resolve("models:/m@prod", at(29)) == "reg://i/m/1"
    with pytest.raises(LineageError, match="2 things are called 'models:/m@prod'"):
        timed.resolve("models:/m@prod", at(35))


def test_an_edge_is_explained_by_who_says_so(lineage: Lineage) -> None:
    ((edge, (evidence,)),) = lineage.explain("v", "train").items()
    assert (edge.kind, evidence.collector, evidence.key) == ("DERIVES", "test", "all")
    assert lineage.explain(edge) == {edge: (evidence,)}
    with pytest.raises(LineageError, match="no edge leads from 'train' to 'v'"):
        lineage.explain("train", "v")


def test_impact_of_a_column_marks_what_only_its_table_reaches(lineage: Lineage) -> None:
    precise = lineage.impact(f"{SOURCE}#temp")
    assert "prediction" in precise.nodes
    assert "prediction" not in precise.coarse
    coarse = lineage.impact("train#hour")
    assert {"run", "model"} <= coarse.coarse


def test_a_difference_names_what_only_one_comes_from_and_what_changed(tmp_path: Path) -> None:
    lineage = Lineage(tmp_path / "g.db", lambda cursors: Told())
    ends = [("a.csv", "v@1"), ("b.csv", "v@2"), ("c.csv", "v@2"), ("v@1", "m1"), ("v@2", "m2")]
    both = [("same.csv", "m1"), ("same.csv", "m2")]
    edges = tuple(Edge(source, "DERIVES", target) for source, target in [*ends, *both])
    lineage.store.add("test", [Observation("k", edges=edges)])
    found = lineage.diff("m1", "m2")
    assert [(old.uri, new.uri) for old, new in found.changed] == [("v@1", "v@2")]
    assert [node.uri for node in found.a] == ["a.csv"]
    assert {node.uri for node in found.b} == {"b.csv", "c.csv"}
    assert [node.uri for node in found.both] == ["same.csv"]


def test_a_context_contains_its_runs_and_what_these_read_and_wrote(lineage: Lineage) -> None:
    found = lineage.contents("experiment")
    assert set(found.nodes) == {"experiment", "run", "sibling", "train", "model"}
    assert {(edge.source, edge.target) for edge in found.events} == {
        ("train", "run"),
        ("run", "model"),
    }


def test_evidence_is_read_with_a_walk_when_it_is_looked_at(lineage: Lineage) -> None:
    found = lineage.upstream("prediction")
    assert {item.key for items in found.evidence.values() for item in items} == {"all"}
    assert len(found.evidence) == len(found.edges)


# --- doctor ----------------------------------------------------------------------------------


def test_doctor_reports_a_declared_origin_that_a_record_contradicts(tmp_path: Path) -> None:
    lineage = Lineage(tmp_path / "g.db", lambda cursors: Told())
    a, b, to = f"{SOURCE}#a", f"{SOURCE}#b", f"{OTHER}#x"
    lineage.store.add("session", [Observation("1", edges=(Edge(a, "DERIVES", to, "declared"),))])
    lineage.store.add("tool", [Observation("2", edges=(Edge(b, "DERIVES", to, "recorded"),))])
    (found,) = lineage.doctor()
    assert (found.kind, found.about) == ("contradiction", to)
    assert {edge.source for edge in lineage.store.edges("target", [to])} == {a, b}


def test_doctor_reports_a_model_with_two_makers(tmp_path: Path) -> None:
    lineage = Lineage(tmp_path / "g.db", lambda cursors: Told())
    for run in ("mlflow:run/1", "mlflow:run/2"):
        edge = Edge(run, "OUTPUT", "mlflow:model/m-1")
        lineage.store.add("tool", [Observation(run, edges=(edge,))])
    (found,) = lineage.doctor()
    assert found.fact == "it was made by mlflow:run/1 and by mlflow:run/2"


def test_doctor_reports_what_is_ambiguous_and_what_is_unresolved(timed: Lineage) -> None:
    claim = Claim("models:/m@prod", "OBSERVES", "rep:1", "model-text", 35)
    lost = Claim("models:/none", "OBSERVES", "rep:1", "model-text")
    told = Observation("c", unresolved=("x.csv",), claims=(claim, lost))
    timed.store.add("other", [told])
    assert {(f.kind, f.fact) for f in timed.doctor()} == {
        ("ambiguous", "'models:/m@prod' may have meant 2 things at that time"),
        ("unresolved", "x.csv"),
        ("unresolved", "models:/none"),
    }


def test_what_a_later_record_resolves_is_no_longer_unresolved(tmp_path: Path) -> None:
    lineage = Lineage(tmp_path / "g.db", lambda cursors: Told())
    lineage.store.add("t", [Observation("k", time=2.0)])
    lineage.store.add("t", [Observation("k", unresolved=("x",), time=1.0)])
    assert lineage.store.unresolved() == []
    node = (Node("n", "dataset", "n"),)
    lineage.store.add("t", [Observation("tie", node, unresolved=("y",), time=3.0)])
    lineage.store.add("t", [Observation("tie", unresolved=("y", "z"), time=3.0)])
    assert [item["reference"] for item in lineage.store.unresolved()] == ["y"]
