import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from unified_mlops import Config, Session
from unified_mlops.cli import cli
from unified_mlops.records import Claim, Edge, Node, Observation

UMLOPS = str(Path(sys.executable).parent / "umlops")
SOURCE, MADE = "file:///in.parquet", "file:///out.parquet"


@pytest.fixture(autouse=True)
def graph(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A workspace whose graph knows a run with one file in and one out, column by column."""
    monkeypatch.setenv("UNIFIED_MLOPS_WORKSPACE", str(tmp_path / "ws"))
    monkeypatch.setenv("UNIFIED_MLOPS_PLUGINS", "none")
    nodes = (
        Node(SOURCE, "dataset", "in"),
        Node(MADE, "dataset", "out"),
        Node("mlflow:run/1", "run", "training", {"state": "COMPLETE"}, 1000.0),
    )
    edges = (
        Edge(SOURCE, "INPUT", "mlflow:run/1"),
        Edge("mlflow:run/1", "OUTPUT", MADE),
        Edge(SOURCE, "FIELD", f"{SOURCE}#x"),
        Edge(MADE, "FIELD", f"{MADE}#y"),
        Edge(f"{SOURCE}#x", "DERIVES", f"{MADE}#y"),
    )
    claims = (Claim("models:/gone/1", "INPUT", "mlflow:run/1", "model-text"),)
    Session().lineage.store.add("mlflow", [Observation("run/1", nodes, edges, claims=claims)])


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["lineage", *arguments], catch_exceptions=False)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("tree", "INPUT recorded"),
        ("json", '"kind": "INPUT"'),
        ("mermaid", "flowchart"),
        ("dot", "digraph"),
        ("html", "<!doctype html>"),
    ],
)
def test_a_walk_is_shown_in_each_format(form: str, expected: str, tmp_path: Path) -> None:
    shown = run("up", "out", "--format", form)
    assert shown.exit_code == 0
    assert expected in shown.output
    run("up", "out", "--format", form, "-o", "walk")
    assert expected in Path("walk").read_text()


def test_as_of_a_moment_before_the_run_nothing_had_happened() -> None:
    assert "training" in run("up", "out", "--as-of", "2020-01-01").output
    assert "training" not in run("up", "out", "--as-of", "1970-01-01T00:00:01").output


def test_impact_explain_diff_and_contents_are_tables_and_trees() -> None:
    assert re.search(r"column.*out.parquet#y|column.*out#y", run("impact", "in#x").output)
    assert re.search(r"INPUT.*recorded.*mlflow.*run/1", run("explain", "in", "training").output)
    assert "only in" in run("diff", "in", "out").output
    assert "training" in run("contents", "training").output


def test_doctor_lists_what_is_unresolved() -> None:
    shown = run("doctor")
    assert shown.exit_code == 0
    assert "models:/gone/1" in shown.output


def test_collect_says_what_is_there(tmp_path: Path) -> None:
    assert "5 nodes, 5 edges (0 records new)" in run("collect").output


def test_events_go_out_to_a_file_and_come_in_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert run("export", "events.jsonl").output.strip().endswith("events")
    monkeypatch.setenv("UNIFIED_MLOPS_WORKSPACE", str(tmp_path / "other"))
    assert "records new" in run("import", "events.jsonl").output
    there = Session().lineage
    assert "mlflow:run/1" in there.upstream(MADE).nodes
    assert f"{SOURCE}#x" in there.upstream(f"{MADE}#y").nodes


def test_events_are_posted_once_and_taken_by_serve(tmp_path: Path) -> None:
    command = [UMLOPS, "lineage", "serve", "--port", "0"]
    environment = {"UNIFIED_MLOPS_WORKSPACE": str(tmp_path / "served"), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdout
        url = server.stdout.readline().split()[-1]
        assert run("export", url).output.strip() != "0 events"
        assert run("export", url).output.strip() == "0 events"
        server.terminate()
    store = Session(Config(workspace=tmp_path / "served")).lineage.store
    assert "mlflow:run/1" in store.nodes()


def test_watching_goes_on_until_it_is_interrupted(tmp_path: Path) -> None:
    command = [UMLOPS, "lineage", "collect"]
    environment = {
        "UNIFIED_MLOPS_WORKSPACE": str(tmp_path / "ws"),
        "UNIFIED_MLOPS_PLUGINS": "none",
        "PYTHONUNBUFFERED": "1",
    }
    with subprocess.Popen(
        [*command, "--watch", "--every", "0.1"], stdout=subprocess.PIPE, text=True, env=environment
    ) as watcher:
        assert watcher.stdout
        lines = [watcher.stdout.readline() for _ in range(3)]
        watcher.terminate()
    assert all("5 nodes" in line for line in lines)
