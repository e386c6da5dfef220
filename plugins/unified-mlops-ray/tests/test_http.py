import json
import socket
import threading
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from unified_mlops.errors import BackendError
from unified_mlops.records import Alias, ModelVersionRecord, Ref

opener = build_opener(ProxyHandler({}))


class Double:
    def predict(self, frame):
        return (frame["x"] * 2).to_numpy()


def load(ref):
    return Double()


@pytest.fixture
def endpoint(plugin):
    ref = Ref("mlflow", "model_version", "delay/1", "mlflow://abc/registered/delay/1")
    model = ModelVersionRecord(ref=ref, name="delay", version="1")
    endpoint = plugin.mlops_create_endpoint(name="delay")
    return plugin.mlops_deploy_model(endpoint=endpoint, model=model, split={"0": 100})


@pytest.fixture
def server(plugin, endpoint):
    def predict(instances):
        return plugin.mlops_predict(endpoint=endpoint, instances=instances, load=load)

    server = plugin.mlops_serve_endpoint(
        endpoint=endpoint, predict=predict, host="127.0.0.1", port=0
    )
    yield server
    server.stop()


@pytest.fixture
def ask(server):
    def ask(path, body=None):
        try:
            with opener.open(Request(server.url + path, body), timeout=30) as response:
                return response.status, json.load(response)
        except HTTPError as error:
            return error.code, json.load(error)

    return ask


def test_it_answers_as_vertex_does_and_logs_the_call(plugin, ask):
    code, answer = ask("/v1/endpoints/delay:predict", b'{"instances": [{"x": 1}, {"x": 4}]}')
    assert (code, answer["predictions"], answer["deployedModelId"]) == (200, [2, 8], "1")
    assert answer["model"] == "mlflow://abc/registered/delay/1"
    (line,) = (plugin._endpoints.folder / "delay" / "requests.jsonl").read_text().splitlines()
    assert json.loads(line)["id"] == answer["predictionId"]


def test_it_describes_the_endpoint_as_it_stands(plugin, endpoint, ask):
    code, answer = ask("/v1/endpoints/delay")
    assert (code, answer["displayName"], answer["trafficSplit"]) == (200, "delay", {"1": 100})
    plugin.mlops_undeploy_model(endpoint=endpoint, deployment="1", split={})
    assert ask("/v1/endpoints/delay")[1]["deployedModels"] == []


@pytest.mark.parametrize(
    "body", [b"", b"not json", b"\xff", b"[]", b"{}", b'{"instances": 3}', b'{"instances": [1]}']
)
def test_a_bad_request_is_answered_in_googles_form(ask, body):
    code, answer = ask("/v1/endpoints/delay:predict", body)
    assert (code, answer["error"]["code"]) == (400, 400)
    assert answer["error"]["status"] == "INVALID_ARGUMENT"
    assert answer["error"]["message"]


@pytest.mark.parametrize(
    ("path", "body", "code", "status"),
    [
        ("/v1/endpoints/other:predict", b"{}", 404, "NOT_FOUND"),
        ("/v1/endpoints/other", None, 404, "NOT_FOUND"),
        ("/", None, 404, "NOT_FOUND"),
        ("/v1/endpoints/delay", b"{}", 405, "UNIMPLEMENTED"),
        ("/v1/endpoints/delay:predict", b" " * 10_000_001, 413, "INVALID_ARGUMENT"),
        ("/v1/endpoints/delay:predict", b'{"instances": [{"y": 1}]}', 500, "INTERNAL"),
    ],
)
def test_what_else_goes_wrong_is_too_and_the_server_goes_on(ask, path, body, code, status):
    found, answer = ask(path, body)
    assert (found, answer["error"]["code"], answer["error"]["status"]) == (code, code, status)
    assert ask("/v1/endpoints/delay:predict", b'{"instances": [{"x": 1}]}')[0] == 200


def test_a_body_without_a_length_is_limited_too(server):
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname, parts.port)) as connection:
        connection.sendall(
            b"POST /v1/endpoints/delay:predict HTTP/1.1\r\nHost: x\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
        sender = threading.Thread(target=_send, args=(connection, chunk * 10 + b"0\r\n\r\n"))
        sender.start()
        assert connection.recv(100).startswith(b"HTTP/1.1 413")
        sender.join()


def _send(connection, body):
    try:
        connection.sendall(body)
    except ConnectionError:
        return  # it has heard enough


def test_stopping_it_frees_its_port(plugin, endpoint, server):
    port = urlsplit(server.url).port
    with pytest.raises(BackendError, match="nothing can listen"):
        plugin.mlops_serve_endpoint(endpoint=endpoint, predict=id, host="127.0.0.1", port=port)
    server.stop()
    again = plugin.mlops_serve_endpoint(endpoint=endpoint, predict=id, host="127.0.0.1", port=port)
    assert urlsplit(again.url).port == port
    again.stop()


def test_the_id_that_a_caller_gives_to_a_request_leads_to_its_prediction(plugin, server):
    def ask(headers):
        path = f"{server.url}/v1/endpoints/delay:predict"
        with opener.open(
            Request(path, b'{"instances": [{"x": 1}]}', headers), timeout=30
        ) as answer:
            return f"prediction:{json.load(answer)['predictionId']}"

    named, plain = ask({"X-Request-Id": "r-1"}), ask({})
    seen = {item.key: item for item in plugin.mlops_collect_lineage(cursor=None).observations}
    assert Alias("request:r-1", named) in seen[named].aliases
    assert [alias.name for alias in seen[plain].aliases] == [f"request:{plain.partition(':')[2]}"]
