import json
import threading
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
from unified_mlops.records import Edge, ModelVersionRecord, Ref
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
    assert found.ref == Ref("ray", "endpoint", "delay", "ray://local/serve/delay")
    assert [deployed.model for deployed in found.deployments] == [version(1).ref, version(2).ref]


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


def test_collecting_finds_deployments_and_predictions_and_goes_on(plugin, endpoint):
    def predict():
        return plugin.mlops_predict(endpoint=endpoint, instances=[{"x": 0}], load=load)

    first = predict()
    found = plugin.mlops_collect_lineage(cursor=None)
    deployed, asked = found.observations
    assert [(edge.source, edge.target) for edge in deployed.edges] == [
        (version(1).ref.uri, endpoint.ref.uri),
        (version(2).ref.uri, endpoint.ref.uri),
    ]
    assert [(edge.source, edge.kind, edge.target) for edge in asked.edges] == [
        (first.deployment.model.uri, "DERIVES", first.ref.uri),
        (first.deployment.model.uri, "DERIVES", endpoint.ref.uri),
    ]
    assert asked.nodes[0].attributes["endpoint"] == endpoint.ref.uri
    second = predict()
    found = plugin.mlops_collect_lineage(cursor=found.cursor)
    assert [item.key for item in found.observations] == [second.ref.uri]


def test_a_line_that_was_cut_short_is_told_as_unresolved_and_hides_no_other(plugin, endpoint):
    log = plugin._endpoints.folder / "delay" / "requests.jsonl"
    log.parent.mkdir()
    log.write_bytes(b'{"id": "cut\n')
    plugin.mlops_predict(endpoint=endpoint, instances=[{"x": 0}], load=load)
    with log.open("ab") as file:
        file.write(b'{"id": "not yet whole')
    found = plugin.mlops_collect_lineage(cursor=None).observations[1:]
    assert [bool(item.unresolved) for item in found] == [True, False]
