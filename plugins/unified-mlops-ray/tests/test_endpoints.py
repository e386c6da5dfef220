import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from unified_mlops.errors import (
    AlreadyExistsError,
    ArgumentError,
    BackendError,
    NotFoundError,
)
from unified_mlops.records import Alias, Claim, Edge, ModelVersionRecord, Ref
from unified_mlops_ray import deployments
from unified_mlops_ray.plugin import RayPlugin


class Constant:
    def __init__(self, value):
        self.value = value

    def predict(self, frame):
        return np.full(len(frame), self.value)


def load(ref):
    return Constant(int(ref.id.rpartition("/")[2]))


def version(number, name="delay"):
    key = f"{name}/{number}"
    ref = Ref("mlflow", "model_version", key, f"mlflow://abc/registered/{key}")
    return ModelVersionRecord(ref=ref, name=name, version=str(number))


@pytest.fixture
def endpoint(plugin):
    """80 % of the traffic goes to version 1, 20 % to version 2."""
    endpoint = plugin.mlops_create_endpoint(name="delay")
    endpoint = plugin.mlops_deploy_model(endpoint=endpoint, model=version(1), split={"0": 100})
    return plugin.mlops_deploy_model(endpoint=endpoint, model=version(2), split={"1": 80, "0": 20})


def test_another_session_finds_what_is_deployed_with_its_whole_ref(endpoint, tmp_path):
    (found,) = RayPlugin(tmp_path / "workspace").mlops_list_endpoints()
    assert found == endpoint
    scope = deployments.scope(tmp_path / "workspace" / "endpoints")
    assert found.ref == Ref("ray", "endpoint", "delay", f"{scope}/serve/delay")
    assert [deployed.model for deployed in found.deployments] == [version(1).ref, version(2).ref]


def test_endpoints_of_one_name_in_two_workspaces_are_two_and_in_one_by_a_link_one(tmp_path):
    def uri(workspace, **settings):
        return RayPlugin(workspace, **settings).mlops_create_endpoint(name="delay").ref.uri

    one, two = uri(tmp_path / "one"), uri(tmp_path / "two")
    assert one != two
    assert re.fullmatch(r"ray://local-[0-9a-f]{12}/serve/delay", one)
    (tmp_path / "link").symlink_to(tmp_path / "one")
    (linked,) = RayPlugin(tmp_path / "link").mlops_list_endpoints()
    shared = RayPlugin(tmp_path / "three", endpoints=str(tmp_path / "one" / "endpoints"))
    assert linked.ref.uri == shared.mlops_list_endpoints()[0].ref.uri == one


def test_an_id_is_never_given_twice(plugin, endpoint):
    left = plugin.mlops_undeploy_model(endpoint=endpoint, deployment="2", split={"1": 100})
    again = plugin.mlops_deploy_model(endpoint=left, model=version(3), split={"0": 100})
    assert {held.id: held.traffic for held in again.deployments} == {"1": 0, "3": 100}


def test_a_record_that_has_become_old_still_reaches_the_endpoint_as_it_is(plugin, endpoint):
    old = replace(endpoint, deployments=())
    left = plugin.mlops_undeploy_model(endpoint=old, deployment="1", split={"2": 100})
    assert [held.id for held in left.deployments] == ["2"]
    answer = plugin.mlops_predict(endpoint=endpoint, instances=[{"x": 0}], load=load)
    assert answer.predictions == (2,)


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "a\\b", "a\nb", "x.yaml", "x" * 101])
def test_a_name_that_could_leave_the_folder_is_refused(plugin, name):
    with pytest.raises(ArgumentError):
        plugin.mlops_create_endpoint(name=name)


def test_a_used_name_is_refused_to_all_but_one_of_many_at_once(tmp_path):
    def create(_):
        try:
            return RayPlugin(tmp_path).mlops_create_endpoint(name="delay").name
        except AlreadyExistsError:
            return None

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(create, range(8)), key=str) == [None] * 7 + ["delay"]


@pytest.mark.parametrize(
    "split",
    [{"0": 99}, {"0": 101}, {"0": 120, "1": -20}, {"0": 100, "9": 0}, {"0": 100.0}, {"0": True}],
)
def test_a_split_that_is_none_changes_nothing(plugin, endpoint, split):
    with pytest.raises(ArgumentError):
        plugin.mlops_deploy_model(endpoint=endpoint, model=version(3), split=split)
    assert plugin.mlops_list_endpoints() == [endpoint]


def test_the_traffic_split_holds_over_2000_calls(plugin, endpoint):
    answers = [
        plugin.mlops_predict(endpoint=endpoint, instances=[{"x": 0}], load=load)
        for _ in range(2000)
    ]
    second = sum(answer.deployment.id == "2" for answer in answers)
    assert 311 <= second <= 489, "five standard deviations from 400: one run in 1.7 million"
    assert all(answer.predictions == (int(answer.deployment.id),) for answer in answers)


def test_a_prediction_has_an_id_plain_values_an_edge_and_a_line_in_the_log(plugin, endpoint):
    asked = [{"x": np.int64(1), "when": pd.Timestamp("2013-07-01", tz="UTC"), "no": float("nan")}]
    answer = plugin.mlops_predict(endpoint=endpoint, instances=asked, load=load)
    model = answer.deployment.model.uri
    assert answer.ref.uri == f"prediction:{answer.ref.id}"
    assert answer.edges == (Edge(model, "DERIVES", answer.ref.uri, "declared"),)
    assert type(answer.predictions[0]) is int
    (line,) = (plugin._endpoints.folder / "delay" / "requests.jsonl").read_text().splitlines()
    call = json.loads(line)
    assert call.pop("time").endswith("+00:00")
    assert call == {
        "id": answer.ref.id,
        "deployment": answer.deployment.id,
        "model": model,
        "instances": [{"x": 1, "when": "2013-07-01 00:00:00+00:00", "no": None}],
        "predictions": list(answer.predictions),
    }


def test_a_model_is_loaded_once_for_all_threads(plugin, endpoint):
    loaded, lock = [], threading.Lock()

    def slow(ref):
        with lock:
            loaded.append(ref.uri)
        threading.Event().wait(0.05)
        return load(ref)

    def predict(_):
        return plugin.mlops_predict(endpoint=endpoint, instances=[{"x": 0}], load=slow)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(predict, range(100)))
    assert len(loaded) == len(set(loaded)) == 2


def call_many(workspace):
    plugin = RayPlugin(workspace)
    (endpoint,) = plugin.mlops_list_endpoints()
    rows = [{"text": "ü" * 3000}] * 10
    for _ in range(50):
        plugin.mlops_predict(endpoint=endpoint, instances=rows, load=load)


def test_processes_and_threads_do_not_mix_the_lines_of_the_log(plugin, endpoint, tmp_path):
    fork = get_context("fork")
    workers = [fork.Process(target=call_many, args=(tmp_path / "workspace",)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    lines = (plugin._endpoints.folder / "delay" / "requests.jsonl").read_text().splitlines()
    assert len({json.loads(line)["id"] for line in lines}) == 150


def test_an_endpoint_without_a_model_cannot_predict(plugin):
    endpoint = plugin.mlops_create_endpoint(name="empty")
    with pytest.raises(ArgumentError, match="no model"):
        plugin.mlops_predict(endpoint=endpoint, instances=[{"x": 0}], load=load)


@pytest.mark.parametrize("instances", [[], [1, 2], ["a"], [{"x": 1}, None]])
def test_instances_that_are_no_rows_are_refused(plugin, endpoint, instances):
    with pytest.raises(ArgumentError, match="not rows"):
        plugin.mlops_predict(endpoint=endpoint, instances=instances, load=load)


def test_a_model_that_answers_too_little_is_found_out(plugin, endpoint):
    class Short:
        def predict(self, frame):
            return [1]

    with pytest.raises(BackendError, match="1 answers to 2 instances"):
        plugin.mlops_predict(endpoint=endpoint, instances=[{"x": 0}] * 2, load=lambda ref: Short())


def test_a_file_that_is_broken_is_named(plugin, endpoint):
    path = plugin._endpoints.folder / "delay.yaml"
    for text in ("deployments: [", "just words", "name: delay", "[1, 2]"):
        path.write_text(text)
        with pytest.raises(BackendError, match=r"delay\.yaml"):
            plugin.mlops_list_endpoints()


def test_an_endpoint_that_is_not_there_is_named_with_those_that_are(plugin, endpoint):
    with pytest.raises(NotFoundError, match="there is: delay"):
        plugin.mlops_predict(
            endpoint=replace(endpoint, name="other"), instances=[{"x": 0}], load=load
        )


def test_its_native_form_is_its_file(plugin, endpoint):
    native = plugin.mlops_get_native(ref=endpoint.ref)
    assert native == yaml.safe_load(Path(plugin._endpoints.folder, "delay.yaml").read_text())
    assert [item["model_version"] for item in native["deployments"]] == ["1", "2"]


def test_a_model_on_an_endpoint_is_so_from_deploying_to_undeploying(plugin, endpoint):
    begin = [item["since"] for item in plugin.mlops_get_native(ref=endpoint.ref)["deployments"]]
    before = time.time()
    left = plugin.mlops_undeploy_model(endpoint=endpoint, deployment="1", split={"2": 100})
    again = plugin.mlops_deploy_model(endpoint=left, model=version(1), split={"2": 0, "0": 100})
    history = plugin.mlops_get_native(ref=endpoint.ref)["history"]
    end = history[0]["until"]
    assert begin[0] < begin[1] < before <= end <= time.time()
    since = plugin.mlops_get_native(ref=endpoint.ref)["deployments"][1]["since"]

    def on_it(model, since, until=None, level="declared"):
        source, target = version(model).ref.uri, endpoint.ref.uri
        return Edge(source, "DERIVES", target, level, "ray.endpoint", since, until)

    assert endpoint.edges == (on_it(1, begin[0]), on_it(2, begin[1]))
    assert left.edges == (on_it(1, begin[0], end), on_it(2, begin[1]))
    assert again.edges == (on_it(1, begin[0], end), on_it(2, begin[1]), on_it(1, since))
    (seen,) = plugin.mlops_collect_lineage(cursor=None).observations
    assert seen.edges == tuple(replace(edge, level="recorded") for edge in again.edges)
    assert seen.time >= since
    assert {node.uri for node in seen.nodes} == {
        endpoint.ref.uri,
        version(1).ref.uri,
        version(2).ref.uri,
    }


def test_collecting_finds_deployments_and_predictions_and_goes_on(plugin, endpoint):
    def predict():
        return plugin.mlops_predict(endpoint=endpoint, instances=[{"x": 0}], load=load)

    before = time.time()
    first = predict()
    found = plugin.mlops_collect_lineage(cursor=None)
    deployed, asked = found.observations
    assert [(edge.source, edge.target) for edge in deployed.edges] == [
        (version(1).ref.uri, endpoint.ref.uri),
        (version(2).ref.uri, endpoint.ref.uri),
    ]
    assert [(edge.source, edge.kind, edge.target) for edge in asked.edges] == [
        (first.deployment.model.uri, "DERIVES", first.ref.uri)  # the one that answered, only
    ]
    (node,) = asked.nodes
    assert node.attributes["endpoint"] == endpoint.ref.uri
    assert before <= node.time <= time.time()
    assert asked.aliases == (Alias(f"request:{first.ref.id}", first.ref.uri),)
    second = predict()
    found = plugin.mlops_collect_lineage(cursor=found.cursor)
    assert [item.key for item in found.observations] == [second.ref.uri]
    assert plugin.mlops_collect_lineage(cursor=found.cursor).observations == []


def test_a_call_that_names_its_model_by_text_claims_what_it_meant_then(plugin, endpoint):
    call = {"id": "7", "time": "2026-01-01T00:00:00+00:00", "deployment": "1", "instances": [{}]}
    log = plugin._endpoints.requests("delay")
    log.parent.mkdir()
    log.write_text(json.dumps({**call, "model": "models:/delay@prod", "request": "r-1"}) + "\n")
    (_, asked) = plugin.mlops_collect_lineage(cursor=None).observations
    claim = Claim("models:/delay@prod", "DERIVES", "prediction:7", "model-text", at=1767225600.0)
    assert (asked.edges, asked.claims) == ((), (claim,))
    assert [alias.name for alias in asked.aliases] == ["request:7", "request:r-1"]


def test_an_endpoint_that_is_broken_is_named_and_hides_no_other(plugin, endpoint):
    path = plugin._endpoints.folder / "broken.yaml"
    path.write_text("deployments: [")
    first = plugin.mlops_collect_lineage(cursor=None)
    assert [item.key for item in first.observations] == [endpoint.ref.uri]
    for found in (first, plugin.mlops_collect_lineage(cursor=first.cursor)):
        (problem,) = found.problems
        assert "broken.yaml" in str(problem)
    path.write_text((plugin._endpoints.folder / "delay.yaml").read_text().replace("delay", "b"))
    found = plugin.mlops_collect_lineage(cursor=first.cursor)
    assert [item.key for item in found.observations] == [endpoint.ref.uri.replace("delay", "b")]


def test_a_line_that_was_cut_short_is_told_as_unresolved_and_hides_no_other(plugin, endpoint):
    log = plugin._endpoints.folder / "delay" / "requests.jsonl"
    log.parent.mkdir()
    log.write_bytes(b'{"id": "cut\n')
    plugin.mlops_predict(endpoint=endpoint, instances=[{"x": 0}], load=load)
    with log.open("ab") as file:
        file.write(b'{"id": "not yet whole')
    found = plugin.mlops_collect_lineage(cursor=None).observations[1:]
    assert [bool(item.unresolved) for item in found] == [True, False]
