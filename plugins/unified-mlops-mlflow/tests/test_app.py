"""The lineage pages beside MLflow's own: a real `mlflow server` with our app."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest

from unified_mlops.config import Config
from unified_mlops.records import Alias, Edge, Node, Observation
from unified_mlops.session import Session
from unified_mlops_mlflow.plugin import MlflowPlugin

RUN = "0123456789abcdef" * 2
EVIL = "<script>alert(1)</script>"
FILE = f"file:///data/{EVIL}.csv"
VERSION = "mlflow://abc/registered/delay/1"


@pytest.fixture(scope="module")
def server(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its address; started as the plugin says, on a workspace with a small graph."""
    workspace = tmp_path_factory.mktemp("pages") / "workspace"
    session = Session(Config(workspace=workspace), plugins={"mlflow": MlflowPlugin})
    nodes = (
        Node(f"mlflow:run/{RUN}", "run", EVIL, {"param": EVIL}, 2.0),
        Node(FILE, "dataset", EVIL),
        Node(VERSION, "model_version", "delay@1", {}, 3.0),
    )
    edges = (
        Edge(FILE, "INPUT", nodes[0].uri),
        Edge(nodes[0].uri, "OUTPUT", VERSION),
    )
    aliases = (Alias("models:/delay/1", VERSION),)
    session.lineage.store.add("test", [Observation("a", nodes, edges, aliases=aliases)])
    (workspace / "mlflow").mkdir()
    (workspace / "mlflow" / "mlflow.db").write_bytes((shared / "blank.db").read_bytes())
    ui = MlflowPlugin(workspace).mlops_describe_ui()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {**os.environ, **ui.environment, "UNIFIED_MLOPS_WORKSPACE": str(workspace)}
    command = [part.replace("{port}", str(port)) for part in ui.command]
    log = (workspace / "log").open("wb")
    with log, subprocess.Popen(command, env=environment, stdout=log, stderr=log) as process:
        address = f"http://127.0.0.1:{port}"
        try:
            _wait(address, process, workspace / "log")
            yield address
        finally:
            process.terminate()


def _wait(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, log.read_text()
        try:
            urlopen(f"{address}/health").close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())


def page(address: str, path: str, method: str = "GET") -> tuple[int, str, str]:
    """Status, content security policy and text."""
    try:
        with urlopen(Request(address + path, method=method)) as answer:
            policy = answer.headers["Content-Security-Policy"] or ""
            return answer.status, policy, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, "", error.read().decode()


def test_mlflows_own_pages_are_there_as_ever(server: str) -> None:
    assert page(server, "/")[0] == 200
    assert page(server, "/api/2.0/mlflow/experiments/get?experiment_id=0")[0] == 200


def test_the_list_names_runs_and_models_newest_first_and_links_to_their_pages(server: str) -> None:
    status, policy, text = page(server, "/lineage")
    assert status == 200
    assert policy.startswith("default-src 'none'")
    assert f'href="lineage/{RUN}"' in text
    assert f'href="lineage/{quote(VERSION, safe="")}">delay@1' in text
    assert text.index("Model versions") < text.index("Runs")


def test_the_page_of_a_run_shows_what_it_read_and_what_it_made(server: str) -> None:
    status, policy, text = page(server, f"/lineage/{RUN}")
    assert status == 200
    assert policy.startswith("default-src 'none'")
    assert "file:///data/" in text
    assert "delay@1" in text


@pytest.mark.parametrize(
    "thing", [VERSION, quote(VERSION, safe=""), "models:/delay/1", f"mlflow:run/{RUN}"]
)
def test_a_thing_is_found_by_the_names_that_the_command_line_takes(server: str, thing: str) -> None:
    assert page(server, f"/lineage/{thing}")[0] == 200


@pytest.mark.parametrize("path", ["/lineage", f"/lineage/{RUN}", f"/lineage/{quote(EVIL)}"])
def test_markup_in_names_is_text(server: str, path: str) -> None:
    text = page(server, path)[2]
    assert "alert(1)" in text
    assert EVIL not in text


def test_a_thing_that_the_graph_does_not_know_is_not_found_and_says_what_to_do(
    server: str,
) -> None:
    status, _, text = page(server, "/lineage/" + "f" * 32)
    assert status == 404
    assert "umlops lineage collect" in text or "did you mean" in text


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/lineage", f"/lineage/{RUN}"])
def test_nothing_can_be_written(server: str, path: str, method: str) -> None:
    assert page(server, path, method)[0] in {403, 405}


def test_it_listens_on_loopback_only(tmp_path: Path) -> None:
    command = MlflowPlugin(tmp_path).mlops_describe_ui().command
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[0] == sys.executable
