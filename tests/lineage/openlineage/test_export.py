import json
import sys
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openlineage.client.naming import dataset as rules

from unified_mlops.errors import ArgumentError, BackendError, UnsupportedError
from unified_mlops.lineage.openlineage.export import events
from unified_mlops.lineage.openlineage.load import observation
from unified_mlops.lineage.openlineage.naming import named, run_id, urn_of
from unified_mlops.lineage.openlineage.send import as_json, post, write
from unified_mlops.records import Edge, Node

from .conftest import FILE, MODEL, RUN, TABLE, TIME, plain

Events = list[dict[str, Any]]


def job(told: Events, name: str) -> dict[str, Any]:
    [event] = [event for event in told if event.get("job", {}).get("name") == name]
    return event


# --- names -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("urn", "rule"),
    [
        ("file:///data/a b.parquet", rules.LocalFileSystem("/data/a b.parquet")),
        ("s3://b/k/K//x", rules.S3("b", "k/K//x")),
        ("gs://b/k", rules.GCS("b", "k")),
        ("abfs://c@acct/k", rules.ABFSS("c", "acct", "k")),
        ("postgresql://h:5432/d/s.t", rules.Postgres("h", "5432", "d", "s", "t")),
        ("mysql://h:3306/d/t", rules.MySQL("h", "3306", "d", "t")),
        ("snowflake://org-a/d/s.t", rules.Snowflake("org", "a", "d", "s", "t")),
        ("bigquery://p.d.t", rules.BigQuery("p", "d", "t")),
        ("kafka://h:9092/topic", rules.Kafka("h", "9092", "topic")),
        ("hdfs://h:8020/a/b", rules.HDFS("h", "8020", "/a/b")),
    ],
)
def test_a_place_is_named_by_openlineages_own_rules_and_found_again(
    urn: str, rule: rules.DatasetNaming
) -> None:
    assert named(urn) == (rule.get_namespace(), rule.get_name())
    assert urn_of(*named(urn)) == urn


@pytest.mark.parametrize(
    "urn",
    [
        *("mlflow:run/a", "feast://i/p/featureView/v@1", "sqlite:///x y.db#table=t", "s3://b"),
        *("openlineage://airflow/a.b", "https://h/x", "redis://h:6379/0", "prediction:1"),
    ],
)
def test_every_thing_has_a_name_by_which_it_is_found_again(urn: str) -> None:
    assert urn_of(*named(urn)) == urn


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1))
def test_any_file_is_found_again_by_its_name(name: str) -> None:
    from unified_mlops.lineage.urn import canonical

    urn = canonical(f"/base/{name}")
    assert urn_of(*named(urn)) == urn


# --- events ------------------------------------------------------------------------------------


def test_an_execution_is_a_run_with_a_stable_id(told: Events) -> None:
    event = job(told, RUN)
    assert UUID(event["run"]["runId"]).version == 5
    assert event["run"]["runId"] == run_id(RUN) != run_id(MODEL)
    assert event["eventType"] == "COMPLETE"
    assert event["eventTime"] == "2023-11-14T22:13:20+00:00"
    assert [(one["namespace"], one["name"]) for one in event["inputs"]] == [named(FILE)]
    assert [(one["namespace"], one["name"]) for one in event["outputs"]] == [named(MODEL)]


def test_telling_the_same_again_is_the_same_in_any_order(
    nodes: dict[str, Node], edges: list[Edge], told: Events
) -> None:
    assert plain(dict(reversed(nodes.items())), reversed(edges)) == told


def test_a_dataset_says_its_urn_its_columns_and_what_its_columns_are_made_of(told: Events) -> None:
    event = job(told, RUN)
    facets = event["inputs"][0]["facets"]
    [link] = facets["symlinks"]["identifiers"]
    assert link == {"namespace": "unified_mlops", "name": FILE, "type": "URN"}
    assert [field["name"] for field in facets["schema"]["fields"]] == ["a b", "wind"]
    made = event["outputs"][0]["facets"]["columnLineage"]["fields"]
    [source] = made["wind"]["inputFields"]
    assert (source["namespace"], source["name"], source["field"]) == (*named(FILE), "wind")


def test_explicit_lineage_says_what_the_run_read_and_wrote(told: Events) -> None:
    read, wrote = job(told, RUN)["job"]["facets"]["lineage"]["entries"]
    assert (read["type"], read["inputs"][0]["name"]) == ("JOB", named(FILE)[1])
    assert (wrote["type"], wrote["name"]) == ("DATASET", MODEL)
    assert {one["type"] for one in wrote["inputs"]} == {"JOB"}
    assert wrote["fields"]["wind"]["inputs"][0]["field"] == "wind"


def test_a_run_tells_its_parent(told: Events) -> None:
    parent = job(told, RUN)["run"]["facets"]["parent"]
    assert parent["job"]["name"] == "mlflow://inst/experiment/1"
    assert parent["run"]["runId"] == run_id("mlflow://inst/experiment/1")
    assert parent["root"]["run"] == parent["run"]


def test_the_closest_parent_is_told_and_the_outermost_is_the_root(nodes: dict[str, Node]) -> None:
    nodes |= {"kfp:t": Node("kfp:t", "task", "t"), "kfp:r": Node("kfp:r", "pipeline_run", "r")}
    ends = [("mlflow://inst/experiment/1", RUN), ("kfp:t", RUN), ("kfp:r", "kfp:t")]
    told = plain(nodes, [Edge(above, "PARENT_OF", below) for above, below in ends])
    parent = job(told, RUN)["run"]["facets"]["parent"]
    assert (parent["job"]["name"], parent["root"]["job"]["name"]) == ("kfp:t", "kfp:r")


def test_what_was_derived_without_a_run_is_a_job_of_its_own(told: Events) -> None:
    event = job(told, f"derives/{FILE}")
    assert [one["name"] for one in event["inputs"]] == [named(TABLE)[1]]
    [entry] = event["job"]["facets"]["lineage"]["entries"]
    assert entry["inputs"][0]["namespace"] == "postgres://host:5432"
    assert entry["fields"]["wind"]["inputs"][0]["field"] == "speed"


def test_a_run_does_not_claim_what_was_derived_from_things_that_it_did_not_read(
    nodes: dict[str, Node], edges: list[Edge]
) -> None:
    told = plain(nodes, [*edges, Edge(f"{TABLE}#speed", "DERIVES", f"{MODEL}#wind")])
    assert "columnLineage" not in job(told, RUN)["outputs"][0]["facets"]
    assert "columnLineage" in job(told, f"derives/{MODEL}")["outputs"][0]["facets"]


def test_a_thing_that_nothing_read_or_wrote_is_told_alone() -> None:
    view = "feast://i/p/featureView/v@1"
    [event] = plain({view: Node(view, "feature_view", "v")}, [Edge(view, "FIELD", f"{view}#f")])
    assert event["dataset"]["name"] == view
    assert event["dataset"]["facets"]["schema"]["fields"][0]["name"] == "f"


def test_a_guess_is_not_told_as_a_fact(nodes: dict[str, Node]) -> None:
    told = plain(nodes, [Edge(FILE, "INPUT", RUN, "inferred", "column-fingerprint")])
    assert job(told, RUN)["inputs"] == []


@pytest.mark.parametrize(
    ("state", "kind"),
    [("RUNNING", "RUNNING"), ("FAILED", "FAIL"), ("CANCELLED", "ABORT"), ("PENDING", "START")],
)
def test_a_run_is_told_in_its_state(state: str, kind: str) -> None:
    [event] = plain({RUN: Node(RUN, "run", "r", {"state": state})}, [])
    assert event["eventType"] == kind


def test_what_is_exported_comes_in_again_as_the_same_graph(
    nodes: dict[str, Node], edges: list[Edge], told: Events
) -> None:
    seen = [observation(event) for event in told]
    again = {(edge.source, edge.kind, edge.target) for one in seen for edge in one.edges}
    assert again == {(edge.source, edge.kind, edge.target) for edge in edges}
    kinds = {node.uri: (node.kind, node.name) for one in seen for node in one.nodes}
    assert kinds == {uri: (node.kind, node.name) for uri, node in nodes.items()}
    [run] = [node for one in seen for node in one.nodes if node.uri == RUN]
    assert (run.attributes, run.time) == ({"state": "COMPLETE"}, TIME)


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openlineage.client.event_v2", None)
    monkeypatch.delitem(sys.modules, "unified_mlops.lineage.openlineage.facets", raising=False)
    with pytest.raises(UnsupportedError, match="pip install"):
        list(events({}, []))


# --- where events go ---------------------------------------------------------------------------


@pytest.fixture
def endpoint():
    """An endpoint that keeps requests, and refuses the one whose number is in `refuse`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.requests.append((self.path, dict(self.headers), body))
            self.send_response(500 if len(server.requests) in server.refuse else 201)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.requests, server.refuse = [], set()
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_file_holds_one_event_a_line_and_is_whole(
    tmp_path: Path, nodes: dict[str, Node], edges: list[Edge], told: Events
) -> None:
    path = tmp_path / "events.jsonl"
    assert write(events(nodes, edges), path) == len(told)
    assert [json.loads(line) for line in path.read_text().splitlines()] == told
    with pytest.raises(BackendError):
        write(events(nodes, edges), tmp_path / "nowhere" / "x")


def test_only_what_is_new_is_sent_again(
    tmp_path: Path, endpoint: Any, nodes: dict[str, Node], edges: list[Edge], told: Events
) -> None:
    url, sent = f"http://127.0.0.1:{endpoint.server_port}", tmp_path / "sent"
    assert post(events(nodes, edges), url, sent) == len(told)
    assert [path for path, _, _ in endpoint.requests] == ["/api/v1/lineage"] * len(told)
    assert [body for _, _, body in endpoint.requests] == told
    assert post(events(nodes, edges), url, sent) == 0
    nodes[RUN] = replace(nodes[RUN], attributes={"state": "FAILED"})
    assert post(events(nodes, edges), url, sent) == 1
    assert endpoint.requests[-1][2]["run"]["runId"] == run_id(RUN)


def test_an_interrupted_export_goes_on_where_it_stopped(
    tmp_path: Path, endpoint: Any, nodes: dict[str, Node], edges: list[Edge], told: Events
) -> None:
    endpoint.refuse = {2}
    url, sent = f"http://127.0.0.1:{endpoint.server_port}", tmp_path / "sent"
    with pytest.raises(BackendError, match="500"):
        post(events(nodes, edges), url, sent)
    assert post(events(nodes, edges), url, sent) == len(told) - 1


def test_credentials_are_sent_and_never_shown(
    tmp_path: Path, endpoint: Any, nodes: dict[str, Node], capfd: pytest.CaptureFixture[str]
) -> None:
    host = f"127.0.0.1:{endpoint.server_port}"
    endpoint.refuse = {1}
    with pytest.raises(BackendError) as caught:
        post(events(nodes, []), f"http://me:s3cr%40t@{host}/x?token=s3cr", tmp_path / "sent")
    path, headers, _ = endpoint.requests[0]
    assert path == "/x?token=s3cr"
    assert headers["Authorization"] == "Basic bWU6czNjckB0"
    post(list(events(nodes, []))[:1], f"http://{host}", api_key="k3y")
    assert endpoint.requests[1][1]["Authorization"] == "Bearer k3y"
    shown = [str(caught.value), *capfd.readouterr(), (tmp_path / "sent").read_text()]
    assert not any("s3cr" in text for text in shown)


@pytest.mark.parametrize("url", ["ftp://h", "host:5000", "http://", "http://u:pw@h:x9"])
def test_a_url_that_is_no_endpoint_is_refused(url: str) -> None:
    with pytest.raises(ArgumentError, match="http://") as caught:
        post([], url)
    assert "pw" not in str(caught.value)


def test_an_endpoint_that_is_away_is_named() -> None:
    event = next(iter(events({RUN: Node(RUN, "run", "r")}, [])))
    assert as_json(event)
    with pytest.raises(BackendError, match=r"http://127.0.0.1:9.*cannot be reached"):
        post([event], "http://u:p@127.0.0.1:9")
