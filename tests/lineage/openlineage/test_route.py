import http.client
import json
import socket
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import pytest

from unified_mlops.errors import BackendError
from unified_mlops.lineage.openlineage.load import observation
from unified_mlops.lineage.openlineage.route import Route, serve
from unified_mlops.records import Observation

from .test_load import event

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def kept() -> list[Observation]:
    return []


@pytest.fixture
def route(kept: list[Observation]) -> Iterator[Route]:
    route = serve(kept.extend, largest=100_000)
    yield route
    route.stop()


def send(
    route: Route,
    body: bytes | str,
    path: str = "",
    headers: dict[str, str] = JSON,
    verb: str = "POST",
) -> tuple[int, dict[str, Any]]:
    parts = urlsplit(route.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=5)
    connection.request(verb, path or parts.path, body, headers)
    answer = connection.getresponse()
    found = answer.status, json.loads(answer.read())
    connection.close()
    return found


def test_openlineages_own_client_is_heard(route: Route, kept: list[Observation]) -> None:
    from openlineage.client import OpenLineageClient
    from openlineage.client.event_v2 import InputDataset, Job, Run, RunEvent, RunState

    parts = urlsplit(route.url)
    transport = {"type": "http", "url": f"http://{parts.netloc}", "endpoint": parts.path[1:]}
    client = OpenLineageClient(config={"transport": transport})
    told = RunEvent(
        eventTime="2024-01-01T12:00:00.123456789Z",
        eventType=RunState.COMPLETE,
        run=Run("01890a5d-ac96-774b-bcce-b302099a8057"),
        job=Job("airflow", "load"),
        inputs=[InputDataset("s3://b", "k")],
    )
    client.emit(told)
    client.close()
    [seen] = kept
    assert "s3://b/k" in {node.uri for node in seen.nodes}


def test_one_event_or_a_list_is_kept(route: Route, kept: list[Observation]) -> None:
    assert send(route, json.dumps(event()))[0] == 201
    assert (
        send(route, json.dumps([event("START"), event()]), f"{urlsplit(route.url).path}/")[0] == 201
    )
    assert kept == [observation(event()), observation(event("START")), observation(event())]


@pytest.mark.parametrize(
    ("status", "asked"),
    [
        (400, {"body": "{"}),
        (400, {"body": b"\xff\xfe"}),
        (400, {"body": json.dumps([event(), {}])}),
        (404, {"body": "{}", "path": "/api/v1"}),
        (404, {"body": "", "path": "/", "verb": "GET"}),
        (405, {"body": "", "verb": "GET"}),
        (413, {"body": "x" * 100_001}),
        (415, {"body": "{}", "headers": {"Content-Type": "text/plain"}}),  # what a page may send
        (415, {"body": "{}", "headers": {**JSON, "Content-Encoding": "gzip"}}),
        (421, {"body": "{}", "headers": {**JSON, "Host": "evil.example:80"}}),
        (411, {"body": "{}", "headers": {**JSON, "Content-Length": "x"}}),
    ],
)
def test_a_bad_request_is_refused_with_the_reason(
    route: Route, kept: list[Observation], status: int, asked: dict[str, Any]
) -> None:
    found, said = send(route, **asked)
    assert found == status
    assert said["error"]
    assert kept == []


def test_a_graph_that_cannot_be_written_is_said_so_that_the_sender_tries_again() -> None:
    def locked(_: Sequence[Observation]) -> None:
        raise BackendError("the lineage database is locked")

    route = serve(locked)
    try:
        assert send(route, json.dumps(event())) == (
            503,
            {"error": "the lineage database is locked"},
        )
    finally:
        route.stop()


def test_it_listens_on_this_machine_only_and_frees_its_port() -> None:
    route = serve(lambda _: None)
    port = urlsplit(route.url).port or 0
    assert urlsplit(route.url).hostname == "127.0.0.1"
    with pytest.raises(BackendError, match=f"port {port}"):
        serve(lambda _: None, port)
    route.stop()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1)


def test_nothing_of_a_request_is_logged(route: Route, capfd: pytest.CaptureFixture[str]) -> None:
    send(route, "{", f"{urlsplit(route.url).path}?token=hunter2")
    assert "hunter2" not in "".join(capfd.readouterr())
