"""Standard tests of endpoints."""

# ruff: noqa: D102 - the name of a test says what it sees to

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from unified_mlops.errors import AlreadyExistsError
from unified_mlops.hookspecs import Hooks
from unified_mlops.records import EndpointRecord, PredictionRecord, Row, ServerRecord
from unified_mlops.testing.conformance.checks import check_record, names_of, needs, refused
from unified_mlops.testing.conformance.kit import Kit, foreign_version, load_factor

INSTANCES = [{"x": 3}, {"x": 1}, {"x": 2}]
LOOPBACK = "127.0.0.1"


class EndpointConformance(Kit):
    """`EndpointHooks`: deployments, traffic, predictions and HTTP."""

    @pytest.fixture
    def endpoint(self, hooks: Hooks, name: str) -> EndpointRecord:
        """An endpoint without models."""
        return hooks.mlops_create_endpoint(name=name)

    @pytest.fixture
    def deployed(self, hooks: Hooks, endpoint: EndpointRecord) -> EndpointRecord:
        """An endpoint whose one model doubles `x`."""
        return hooks.mlops_deploy_model(
            endpoint=endpoint, model=foreign_version("factor", "2"), split={"0": 100}
        )

    # --- create_endpoint, list_endpoints ---

    def test_create_endpoint__answers_with_an_empty_endpoint(
        self, endpoint: EndpointRecord, name: str
    ) -> None:
        check_record(endpoint, EndpointRecord, "endpoint")
        assert (endpoint.name, endpoint.deployments) == (name, ())

    def test_create_endpoint__refuses_a_used_name(
        self, hooks: Hooks, endpoint: EndpointRecord
    ) -> None:
        with refused(AlreadyExistsError):
            hooks.mlops_create_endpoint(name=endpoint.name)

    @needs("create_endpoint")
    def test_list_endpoints__returns_them_by_name(
        self, hooks: Hooks, endpoint: EndpointRecord
    ) -> None:
        first = hooks.mlops_create_endpoint(name=f"a-{endpoint.name}")
        found = hooks.mlops_list_endpoints()
        assert names_of(found) == sorted(names_of(found))
        assert first in found and endpoint in found

    # --- deploy_model ---

    @needs("create_endpoint", "list_endpoints")
    def test_deploy_model__gives_the_first_model_all_traffic(
        self, hooks: Hooks, deployed: EndpointRecord
    ) -> None:
        check_record(deployed, EndpointRecord, "endpoint")
        (deployment,) = deployed.deployments
        assert deployment.id not in {"", "0"}
        assert deployment.model == foreign_version("factor", "2").ref
        assert (deployment.model_name, deployment.traffic) == ("factor", 100)
        assert deployed in hooks.mlops_list_endpoints()

    @needs("create_endpoint")
    def test_deploy_model__shares_the_traffic_as_told(
        self, hooks: Hooks, deployed: EndpointRecord
    ) -> None:
        first = deployed.deployments[0].id
        both = _share(hooks, deployed, {"0": 20, first: 80})
        traffic = {held.id: held.traffic for held in both.deployments}
        assert len(traffic) == 2 and traffic[first] == 80
        assert sorted(traffic.values()) == [20, 80]

    @needs("create_endpoint", "list_endpoints")
    def test_deploy_model__refuses_a_split_that_is_none_and_changes_nothing(
        self, hooks: Hooks, deployed: EndpointRecord
    ) -> None:
        first = deployed.deployments[0].id
        for split in (
            {"0": 90},
            {"0": 110},
            {"0": 150, first: -50},
            {"0": 50, "none": 50},
            {},
        ):
            with refused():
                _share(hooks, deployed, split)
            assert deployed in hooks.mlops_list_endpoints()

    @needs("create_endpoint")
    def test_deploy_model__says_since_when_the_model_is_on_the_endpoint(
        self, hooks: Hooks, endpoint: EndpointRecord
    ) -> None:
        before = time.time()
        first = _share(hooks, endpoint, {"0": 100})
        (edge,) = first.edges
        ends = (foreign_version("factor", "3").ref.uri, "DERIVES", endpoint.ref.uri)
        assert (edge.source, edge.kind, edge.target) == ends
        assert edge.since is not None and before <= edge.since <= time.time()
        assert edge.until is None

    # --- undeploy_model ---

    @needs("create_endpoint", "deploy_model")
    def test_undeploy_model__says_until_when_the_model_was_on_the_endpoint(
        self, hooks: Hooks, deployed: EndpointRecord
    ) -> None:
        first = deployed.deployments[0].id
        both = _share(hooks, deployed, {"0": 20, first: 80})
        (second,) = (held.id for held in both.deployments if held.id != first)
        before = time.time()
        left = hooks.mlops_undeploy_model(endpoint=both, deployment=first, split={second: 100})
        gone, on = left.edges
        assert (replace(gone, until=None), on) == both.edges
        assert gone.until is not None and before <= gone.until <= time.time()
        assert on.until is None

    @needs("create_endpoint", "deploy_model", "list_endpoints")
    def test_undeploy_model__hands_the_traffic_to_the_others(
        self, hooks: Hooks, deployed: EndpointRecord
    ) -> None:
        first = deployed.deployments[0].id
        both = _share(hooks, deployed, {"0": 20, first: 80})
        (second,) = (held.id for held in both.deployments if held.id != first)
        left = hooks.mlops_undeploy_model(endpoint=both, deployment=first, split={second: 100})
        check_record(left, EndpointRecord, "endpoint")
        assert [(held.id, held.traffic) for held in left.deployments] == [(second, 100)]
        assert left in hooks.mlops_list_endpoints()

    @needs("create_endpoint", "deploy_model")
    def test_undeploy_model__takes_the_last_one_off(
        self, hooks: Hooks, deployed: EndpointRecord
    ) -> None:
        last = deployed.deployments[0].id
        left = hooks.mlops_undeploy_model(endpoint=deployed, deployment=last, split={})
        assert left.deployments == ()

    @needs("create_endpoint", "deploy_model", "list_endpoints")
    def test_undeploy_model__refuses_a_split_of_90_and_changes_nothing(
        self, hooks: Hooks, deployed: EndpointRecord
    ) -> None:
        first = deployed.deployments[0].id
        both = _share(hooks, deployed, {"0": 20, first: 80})
        (second,) = (held.id for held in both.deployments if held.id != first)
        with refused():
            hooks.mlops_undeploy_model(endpoint=both, deployment=first, split={second: 90})
        assert both in hooks.mlops_list_endpoints()

    @needs("create_endpoint", "deploy_model")
    def test_undeploy_model__refuses_an_unknown_deployment(
        self, hooks: Hooks, deployed: EndpointRecord
    ) -> None:
        split = {deployed.deployments[0].id: 100}
        with refused():
            hooks.mlops_undeploy_model(endpoint=deployed, deployment="none", split=split)

    # --- predict ---

    @needs("create_endpoint", "deploy_model")
    def test_predict__answers_each_instance_in_order(
        self, hooks: Hooks, deployed: EndpointRecord
    ) -> None:
        answer = _predict(hooks, deployed)
        check_record(answer, PredictionRecord, "prediction")
        assert answer.ref.uri == f"prediction:{answer.ref.id}"
        assert answer.predictions == (6, 2, 4)
        assert answer.deployment == deployed.deployments[0]
        assert answer.endpoint == deployed.ref
        assert json.loads(json.dumps(answer.predictions)) == [6, 2, 4]

    @needs("create_endpoint", "deploy_model")
    def test_predict__gives_each_call_an_id(self, hooks: Hooks, deployed: EndpointRecord) -> None:
        assert len({_predict(hooks, deployed).ref for _ in range(5)}) == 5

    @needs("create_endpoint", "deploy_model")
    def test_predict__keeps_to_the_split(self, hooks: Hooks, deployed: EndpointRecord) -> None:
        first = deployed.deployments[0].id
        both = _share(hooks, deployed, {"0": 20, first: 80})
        answers = [_predict(hooks, both) for _ in range(200)]
        by_first = sum(answer.deployment.id == first for answer in answers)
        assert 125 <= by_first <= 195, "six standard deviations from 160 of 200"
        for answer in answers:
            factor = 2 if answer.deployment.id == first else 3
            assert answer.predictions == tuple(factor * row["x"] for row in INSTANCES)

    @needs("create_endpoint", "deploy_model")
    def test_predict__never_asks_a_model_without_traffic(
        self, hooks: Hooks, deployed: EndpointRecord
    ) -> None:
        first = deployed.deployments[0].id
        both = _share(hooks, deployed, {"0": 0, first: 100})
        assert {_predict(hooks, both).deployment.id for _ in range(20)} == {first}

    @needs("create_endpoint")
    def test_predict__refuses_an_endpoint_without_models(
        self, hooks: Hooks, endpoint: EndpointRecord
    ) -> None:
        with refused():
            _predict(hooks, endpoint)

    # --- serve_endpoint ---

    @pytest.fixture
    def server(self, hooks: Hooks, deployed: EndpointRecord) -> Iterator[ServerRecord]:
        """The endpoint over HTTP, on a free port."""

        def predict(instances: Sequence[Row]) -> PredictionRecord:
            return hooks.mlops_predict(endpoint=deployed, instances=instances, load=load_factor)

        server = hooks.mlops_serve_endpoint(
            endpoint=deployed, predict=predict, host=LOOPBACK, port=0
        )
        yield server
        server.stop()

    @needs("create_endpoint", "deploy_model", "predict")
    def test_serve_endpoint__answers_in_vertex_json(
        self, server: ServerRecord, deployed: EndpointRecord
    ) -> None:
        check_record(server, ServerRecord, "endpoint")
        status, answer = _post(server, deployed.name, json.dumps({"instances": INSTANCES}))
        assert (status, answer["predictions"]) == (200, [6, 2, 4])
        assert answer["deployedModelId"] == deployed.deployments[0].id

    @needs("create_endpoint", "deploy_model", "predict")
    def test_serve_endpoint__answers_a_bad_request_with_400(
        self, server: ServerRecord, deployed: EndpointRecord
    ) -> None:
        for body in ("not json", "[]", '{"rows": []}'):
            status, answer = _post(server, deployed.name, body)
            assert status == 400, body
            assert answer["error"]["code"] == 400 and answer["error"]["message"]

    @needs("create_endpoint", "deploy_model", "predict")
    def test_serve_endpoint__answers_another_name_with_404(self, server: ServerRecord) -> None:
        assert _post(server, "none", json.dumps({"instances": INSTANCES}))[0] == 404

    @needs("create_endpoint", "deploy_model", "predict")
    def test_serve_endpoint__frees_its_port_when_it_stops(
        self, hooks: Hooks, deployed: EndpointRecord
    ) -> None:
        def predict(instances: Sequence[Row]) -> PredictionRecord:
            return hooks.mlops_predict(endpoint=deployed, instances=instances, load=load_factor)

        server = hooks.mlops_serve_endpoint(
            endpoint=deployed, predict=predict, host=LOOPBACK, port=0
        )
        port = urlsplit(server.url).port
        assert port
        server.stop()
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind((LOOPBACK, port))


def _share(hooks: Hooks, endpoint: EndpointRecord, split: dict[str, int]) -> EndpointRecord:
    """Add a model that triples `x`."""
    version = foreign_version("factor", "3")
    return hooks.mlops_deploy_model(endpoint=endpoint, model=version, split=split)


def _predict(hooks: Hooks, endpoint: EndpointRecord) -> PredictionRecord:
    return hooks.mlops_predict(endpoint=endpoint, instances=INSTANCES, load=load_factor)


def _post(server: ServerRecord, name: str, body: str) -> tuple[int, Any]:
    parts = urlsplit(server.url)
    connection = http.client.HTTPConnection(LOOPBACK, parts.port or 80, timeout=30)
    headers = {"Content-Type": "application/json"}
    connection.request("POST", f"/v1/endpoints/{quote(name)}:predict", body.encode(), headers)
    response = connection.getresponse()
    answer = response.read()
    connection.close()
    return response.status, json.loads(answer)
