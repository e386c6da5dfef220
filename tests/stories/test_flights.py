"""The flights story on a few days, and then the tools' own view of what it left behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.lineage.graphs import graph

from unified_mlops.config import Config
from unified_mlops.lineage.store import Store
from unified_mlops.session import Session

pytestmark = pytest.mark.story
BIN = Path(sys.executable).parent
NAME = "departure-delay"


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env={**os.environ}, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the story printed."""
    folder = tmp_path_factory.mktemp("story")
    said = run(folder, str(BIN / "umlops"), "demo", "--days", "4")
    (folder / "said.txt").write_text(said)
    return str(folder)


@pytest.fixture
def flights(told: str) -> Path:
    """The project's folder after the story."""
    return Path(told) / "flights"


@pytest.fixture
def session(flights: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.chdir(flights)
    return Session(Config.load())


def said(told: str) -> str:
    return (Path(told) / "said.txt").read_text()


def test_the_story_ends_with_its_table_its_alert_and_its_pages(told: str) -> None:
    text = said(told)
    for line in (
        "roc_auc",
        "baseline",
        "alerts, in red",
        "over HTTP:",
        "lineage page",
        "mlflow ui",
    ):
        assert line in text


def test_mlflow_alone_shows_jobs_tasks_trials_inputs_and_versions(flights: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{flights}/mlflow/mlflow.db")
    experiment = client.get_experiment_by_name(NAME)
    runs = client.search_runs([experiment.experiment_id], max_results=500)
    by_id = {found.info.run_id: found for found in runs}
    jobs = [found for found in runs if "mlflow.parentRunId" not in found.data.tags]
    assert len(jobs) == 2
    train = [found for found in runs if found.info.run_name.endswith("/train-model")]
    for found in train:
        parent = by_id[found.data.tags["mlflow.parentRunId"]]
        assert parent.data.tags["kfp.pipeline_run_id"] == parent.info.run_name
        assert found.inputs.dataset_inputs
        trials = [
            other
            for other in runs
            if other.data.tags.get("mlflow.parentRunId") == found.info.run_id
        ]
        assert len(trials) == 3
        assert all("roc_auc" in trial.data.metrics for trial in trials)
        assert all(trial.info.status == "FINISHED" for trial in trials)
    versions = client.search_model_versions(f"name='{NAME}'")
    assert len(versions) == 4
    champion = client.get_model_version_by_alias(NAME, "default")
    assert "roc_auc" in champion.tags["unified_mlops.reason.default"]


def test_the_lineage_page_stands_on_the_champions_run_in_mlflow(flights: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{flights}/mlflow/mlflow.db")
    run_id = client.get_model_version_by_alias(NAME, "default").run_id
    assert "lineage.html" in [item.path for item in client.list_artifacts(run_id)]
    assert client.get_run(run_id).data.tags["unified_mlops.lineage"] == f"/lineage/{run_id}"


def test_tensorboard_alone_reads_the_same_metrics(flights: Path, session: Session) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    import unified_mlops as umlops

    frame = umlops.get_experiment_df(NAME, session=session)
    row = frame[frame["run_name"].str.endswith("/train-model/logistic-0")].iloc[0]
    folder = flights / "tensorboard" / NAME / row["run_name"]
    events = EventAccumulator(str(folder)).Reload()
    assert events.Scalars("roc_auc")[-1].value == pytest.approx(row["metric.roc_auc"], rel=1e-6)


def test_the_feast_cli_works_in_the_repo_and_the_facade_sees_what_it_did(
    flights: Path, session: Session
) -> None:
    import unified_mlops as umlops

    repo = flights / "feature_repo"
    listed = run(repo, str(BIN / "feast"), "feature-views", "list")
    for view in ("weather", "plane", "delays"):
        assert view in listed
    store = umlops.FeatureStore(session=session)
    features, key = ["weather:temp"], [{"origin": "JFK"}]
    before = store.fetch_feature_values(features, key)
    run(repo, str(BIN / "feast"), "materialize", "2013-07-01T00:00:00", "2013-07-04T00:00:00")
    run(repo, str(BIN / "feast"), "materialize-incremental", "2013-07-05T00:00:00")
    after = umlops.FeatureStore(session=session).fetch_feature_values(features, key)
    assert after != before
    found = session.lineage
    found.collect()
    done = [uri for uri, node in found.store.nodes().items() if node.kind == "materialization"]
    assert any("weather" in uri and "--2013-07-05" in uri for uri in done), done


def test_the_evidently_workspace_opens_with_its_reports(flights: Path) -> None:
    from evidently.ui.workspace import Workspace

    (project,) = Workspace(str(flights / "evidently")).list_projects()
    assert project.name == f"{NAME}-skew"
    assert len(Workspace(str(flights / "evidently")).list_runs(project.id)) == 6


def test_rebuilding_the_projection_gives_the_same_graph(session: Session) -> None:
    store = session.lineage.store
    before = graph(store)
    session.lineage.rebuild()
    assert graph(store) == before


def test_collecting_anew_gives_back_all_but_what_was_only_declared(
    flights: Path, session: Session
) -> None:
    session.lineage.collect()
    whole = session.lineage.store
    moved = flights.with_name("moved")
    flights.rename(moved)  # the same paths, without the graph
    try:
        shutil.copytree(moved, flights, ignore=shutil.ignore_patterns("lineage.db*"))
        again = Session(Config.load())
        assert not again.lineage.collect()
        nodes, edges = again.lineage.store.nodes(), pairs(again.lineage.store)
    finally:
        shutil.rmtree(flights, ignore_errors=True)
        moved.rename(flights)
    lost = [edge for edge in whole.edges() if (edge.source, edge.kind, edge.target) not in edges]
    evidence = whole.evidence(lost)
    for edge in lost:
        said = evidence[edge.source, edge.kind, edge.target]
        assert {item.collector for item in said} == {"session"}, edge
    assert edges <= pairs(whole)
    assert {node.kind for uri, node in whole.nodes().items() if uri not in nodes} <= {
        "dataset",
        "column",
    }


def test_an_alert_a_prediction_and_a_source_column_are_joined(session: Session) -> None:
    lineage = session.lineage
    lineage.collect()
    nodes = lineage.store.nodes().values()
    alerts = [n for n in nodes if n.kind == "alert" and n.attributes["column"] == "weather__temp"]
    columns = lineage.upstream(alerts[0].uri, plane="column").source_columns
    assert [node.uri.rpartition("/")[2] for node in columns] == ["weather.parquet#temp"]
    predictions = [node for node in nodes if node.kind == "prediction"]
    found = lineage.upstream(predictions[0].uri, plane="column").source_columns
    names = {node.uri.rpartition("/")[2] for node in found}
    assert {"weather.parquet#temp", "planes.parquet#year", "flights.parquet#dep_delay"} <= names
    down = lineage.downstream(columns[0].uri)
    assert [node.name for node in down.of_kind("endpoint")] == [NAME]


def test_the_command_line_answers_on_the_workspace(flights: Path) -> None:
    shown = run(
        flights, str(BIN / "umlops"), "lineage", "up", f"models:/{NAME}/1", "--format", "json"
    )
    kinds = {node["kind"] for node in json.loads(shown)["nodes"]}
    assert {"model", "run", "dataset", "feature_view", "experiment", "task"} <= kinds


def test_the_commands_of_the_tutorial_run_in_its_folder(flights: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/tutorial/index.md").read_text()
    asked = [line.split()[2:] for line in page.splitlines() if line.startswith("$ umlops lineage")]
    assert len(asked) == 2
    for words in asked:
        assert "departure-delay" in run(flights, str(BIN / "umlops"), *words)


def pairs(store: Store) -> set[tuple[str, str, str]]:
    return {(edge.source, edge.kind, edge.target) for edge in store.edges()}
