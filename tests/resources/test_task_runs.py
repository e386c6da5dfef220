"""A job and its tasks as runs, on the real MLflow: what a person then sees in its page."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from unified_mlops.config import Config
from unified_mlops.errors import AlreadyExistsError, BackendError
from unified_mlops.pipelines.drawing import Box
from unified_mlops.records import Ref, RunRecord, State, TaskRecord, TaskState
from unified_mlops.resources.experiments import ExperimentRun
from unified_mlops.resources.task_runs import TaskRuns
from unified_mlops.session import Session
from unified_mlops_mlflow.plugin import MlflowPlugin

GRAPH = (Box("load", ()), Box("for-loop-1", ("load",), (Box("train", ()),)), Box("tell", ()))
JOB = iter(f"job-{number}" for number in range(1000))


class Watched(MlflowPlugin):
    """The real plugin, which a test can make fail."""

    fail: Callable[[str], None] = staticmethod(lambda name: None)

    def mlops_create_run(
        self, experiment: str, name: str, parent: RunRecord | None, tags: Mapping[str, str]
    ) -> RunRecord:
        type(self).fail(name)
        return super().mlops_create_run(experiment, name, parent, tags)

    def mlops_update_run(self, run: RunRecord, state: State, tags: Mapping[str, str]) -> RunRecord:
        type(self).fail(run.name)
        return super().mlops_update_run(run, state, tags)


class OurSession(Session):
    """A session whose plugin class a worker would find: here no worker is started."""

    def to_env(self, run: RunRecord | None = None) -> dict[str, str]:
        return {"RUN": run.name if run else ""}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workspace")


@pytest.fixture
def session(store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    monkeypatch.setattr(Watched, "fail", staticmethod(lambda name: None))
    session = OurSession(Config(workspace=store, experiment="e"), plugins={"mlflow": Watched})
    yield session
    session.close()


@pytest.fixture
def client(store: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{store}/mlflow/mlflow.db")


@pytest.fixture
def job_id() -> str:
    return next(JOB)


def observer(session: Session, job_id: str, **more: Any) -> TaskRuns:
    given: dict[str, Any] = {"experiment": "e", "parameters": {}, "labels": {}, "graph": GRAPH}
    given |= more
    return TaskRuns(session, job_id, "pipe", "My job", **given)


def record(name: str, state: TaskState, within: str = "", **more: Any) -> TaskRecord:
    ref = Ref("kfp", "task", name, f"kfp://local/runs/j/{name}")
    return TaskRecord(ref=ref, name=name, state=state, within=within, **more)


def run_task(runs: TaskRuns, name: str, state: TaskState = "SUCCEEDED", **more: Any) -> None:
    runs.changed(record(name, "RUNNING", **more))
    runs.environment(record(name, "RUNNING", **more))
    runs.changed(record(name, state, **more))


def whole(session: Session, job_id: str, state: TaskState = "SUCCEEDED", **task: Any) -> None:
    runs = observer(session, job_id)
    runs.start()
    run_task(runs, "load", state, **task)
    runs.end("FAILED" if state == "FAILED" else "COMPLETE")


def named(client: MlflowClient, name: str) -> Run:
    experiment = client.get_experiment_by_name("e")
    found = client.search_runs([experiment.experiment_id], f"attributes.run_name = '{name}'")
    assert len(found) == 1, [run.info.run_name for run in found]
    return found[0]


def children(client: MlflowClient, job_id: str) -> dict[str, Run]:
    parent = named(client, job_id).info.run_id
    experiment = client.get_experiment_by_name("e").experiment_id
    found = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'")
    return {run.info.run_name.removeprefix(f"{job_id}/"): run for run in found}


def text(client: MlflowClient, run: Run, path: str, folder: Path) -> str:
    return Path(client.download_artifacts(run.info.run_id, path, str(folder))).read_text()


def artifact(title: str, uri: str = "", /, **metadata: Any) -> dict[str, Any]:
    return {"name": "n", "type": {"schemaTitle": title}, "uri": uri, "metadata": metadata}


def test_a_job_is_a_run_and_each_task_a_child_with_the_tags_that_kubeflow_writes(
    session: Session, client: MlflowClient, job_id: str
) -> None:
    server = {"kfp.pipeline_id": "p1", "kfp.pipeline_run_url": "http://k/1"}
    runs = observer(
        session, job_id, tags=server, labels={"team": "blue"}, parameters={"a": 1, "b": [1, 2]}
    )
    runs.start()
    run_task(runs, "load")
    runs.end("COMPLETE")
    job, task = named(client, job_id), children(client, job_id)["load"]
    shared = {**server, "kfp.pipeline_run_id": job_id, "kfp.pipeline_name": "pipe"}
    own = {"team": "blue", "unified_mlops.display_name": "My job"}
    assert job.data.tags.items() >= (shared | own).items()
    assert job.data.params == {"a": "1", "b": "[1, 2]"}
    its = {"kfp.task_name": "load", "unified_mlops.parent_task": "kfp://local/runs/j/load"}
    assert task.data.tags.items() >= (shared | its).items()
    assert [job.info.status, task.info.status] == ["FINISHED", "FINISHED"]


def test_the_process_of_a_task_gets_its_run_before_it_starts(
    session: Session, client: MlflowClient, job_id: str
) -> None:
    runs = observer(session, job_id)
    runs.start()
    given = runs.environment(record("load", "RUNNING"))
    child = named(client, f"{job_id}/load")
    assert child.info.status == "RUNNING"
    assert given["RUN"] == f"{job_id}/load"
    assert child.info.run_id in given["MLFLOW_RUN_CONTEXT"]
    runs.end("CANCELLED")


def test_states_become_those_of_runs_and_what_is_not_triggered_has_none(
    session: Session, client: MlflowClient, job_id: str
) -> None:
    runs = observer(session, job_id, graph=tuple(Box(name, ()) for name in "abcdef"))
    runs.start()
    run_task(runs, "a")
    run_task(runs, "b", "FAILED", error="ValueError: no")
    run_task(runs, "c", "CANCELLED")
    runs.changed(record("d", "SKIPPED", parameters={"Output": 3}))
    runs.changed(record("e", "NOT_TRIGGERED"))
    runs.environment(record("f", "RUNNING"))  # interrupted
    runs.end("FAILED")
    assert set(children(client, job_id)) == set("abcdf")
    states = {n: ExperimentRun(f"{job_id}/{n}", session=session).state for n in "abcdf"}
    cancelled = {"c": "CANCELLED", "f": "CANCELLED"}
    assert states == {"a": "COMPLETE", "b": "FAILED", "d": "CACHED", **cancelled}
    assert children(client, job_id)["d"].data.metrics == {"output.Output": 3}
    assert children(client, job_id)["b"].data.tags["unified_mlops.error"] == "ValueError: no"
    assert named(client, job_id).info.status == "FAILED"


def test_groups_have_no_run_and_each_iteration_of_a_task_has_one(
    session: Session, client: MlflowClient, job_id: str
) -> None:
    runs = observer(session, job_id)
    runs.start()
    runs.changed(record("for-loop-1", "RUNNING"))
    for number in range(3):
        run_task(runs, f"train[{number}]", within=f"for-loop-1[{number}]", inputs={"x": number})
        runs.changed(record(f"for-loop-1[{number}]", "SUCCEEDED", "for-loop-1"))
    runs.changed(record("for-loop-1", "SUCCEEDED"))
    runs.end("COMPLETE")
    found = children(client, job_id)
    assert {name: run.data.params["x"] for name, run in found.items()} == {
        "train[0]": "0",
        "train[1]": "1",
        "train[2]": "2",
    }


def test_inputs_are_params_and_outputs_metrics_where_they_are_numbers(
    session: Session, client: MlflowClient, job_id: str
) -> None:
    given = {"rate": 0.5, "rows": 3, "flag": True, "name": "x", "items": [1, {"a": None}]}
    made = {"score": 0.9, "count": 7, "ok": False, "words": ["a"], "text": "t"}
    whole(session, job_id, inputs=given, parameters=made)
    data = children(client, job_id)["load"].data
    assert data.params == {
        **{"rate": "0.5", "rows": "3", "flag": "true", "name": "x", "items": '[1, {"a": null}]'},
        **{"output.ok": "false", "output.words": '["a"]', "output.text": "t"},
    }
    assert data.metrics == {"output.score": 0.9, "output.count": 7}


@pytest.mark.parametrize("letter", ["a", '"', "é", "\N{GRINNING FACE}", "\x00"])
def test_a_value_that_is_too_long_is_cut_with_a_mark(
    letter: str, session: Session, client: MlflowClient, job_id: str
) -> None:
    whole(session, job_id, inputs={"long": letter * 300_000, "short": "s"})
    params = children(client, job_id)["load"].data.params
    assert params["short"] == "s"
    assert params["long"].startswith(letter * 100)
    assert params["long"].endswith("... [cut: 300000 characters]")


def test_names_that_no_tool_takes_are_mended_and_lose_nothing_else(
    session: Session, client: MlflowClient, job_id: str
) -> None:
    said: dict[str, Any] = {"f1 (macro)": 0.5, "accuracy": 0.75, "note": "text"}
    metrics = artifact("system.Metrics", **said)
    whole(session, job_id, artifacts={"scores": [metrics]})
    assert children(client, job_id)["load"].data.metrics == {"f1 _macro_": 0.5, "accuracy": 0.75}


def test_a_value_that_cannot_be_recorded_costs_the_run_neither_its_end_nor_its_params(
    session: Session, client: MlflowClient, job_id: str
) -> None:
    whole(session, job_id, inputs={"x": 1}, parameters={"huge": 10**400})
    run = children(client, job_id)["load"]
    assert (run.info.status, run.data.params) == ("FINISHED", {"x": "1"})


def test_metrics_artifacts_are_metrics_apart_where_they_share_a_name(
    session: Session, client: MlflowClient, job_id: str
) -> None:
    left = artifact("system.Metrics", auc=0.5, loss=1)
    right = artifact("system.Metrics", auc=0.75)
    whole(session, job_id, artifacts={"train": [left], "test": [right]})
    metrics = children(client, job_id)["load"].data.metrics
    assert metrics == {"train.auc": 0.5, "test.auc": 0.75, "loss": 1}
    assert named(client, job_id).data.metrics == {}


def test_classification_metrics_are_drawn_and_pages_are_kept_as_they_are(
    session: Session, client: MlflowClient, job_id: str, tmp_path: Path
) -> None:
    curve = [{"confidenceThreshold": 1 - x, "recall": x, "falsePositiveRate": x} for x in (0, 1)]
    matrix = {"annotationSpecs": [{"displayName": "cat"}], "rows": [{"row": [4]}]}
    page, note = tmp_path / "page", tmp_path / "note"
    page.write_text("<h1>shown</h1>")
    note.write_text("# noted")
    made = {
        "quality": [
            artifact(
                "system.ClassificationMetrics", confidenceMetrics=curve, confusionMatrix=matrix
            )
        ],
        "page": [artifact("system.HTML", page.as_uri())],
        "note": [artifact("system.Markdown", str(note))],
        "far": [artifact("system.HTML", "s3://bucket/page")],
    }
    whole(session, job_id, artifacts=made)
    run = children(client, job_id)["load"]
    assert {each.path for each in client.list_artifacts(run.info.run_id)} == {
        *("quality.roc.svg", "quality.confusion_matrix.svg", "page.html", "note.md")
    }
    assert text(client, run, "page.html", tmp_path) == "<h1>shown</h1>"
    assert text(client, run, "note.md", tmp_path) == "# noted"
    assert ">cat<" in text(client, run, "quality.confusion_matrix.svg", tmp_path)
    assert "<polyline" in text(client, run, "quality.roc.svg", tmp_path)


def test_what_failed_has_its_log_and_what_did_not_has_none(
    session: Session, client: MlflowClient, job_id: str, tmp_path: Path
) -> None:
    runs = observer(session, job_id)
    runs.start()
    run_task(runs, "load", "SUCCEEDED", log="fine")
    run_task(runs, "tell", "FAILED", log="Traceback\nValueError: no\n", error="ValueError: no")
    runs.end("FAILED")
    found = children(client, job_id)
    assert client.list_artifacts(found["load"].info.run_id) == []
    assert text(client, found["tell"], "log.txt", tmp_path).endswith("ValueError: no\n")


def test_the_jobs_run_shows_its_graph_from_the_start_and_coloured_at_the_end(
    session: Session, client: MlflowClient, job_id: str, tmp_path: Path
) -> None:
    runs = observer(session, job_id)
    runs.start()
    deadline = time.monotonic() + 10
    job = named(client, job_id)
    while not client.list_artifacts(job.info.run_id) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert "pending" in text(client, job, "pipeline.svg", tmp_path)
    run_task(runs, "load")
    for number in range(3):
        run_task(runs, f"train[{number}]", within=f"for-loop-1[{number}]")
        runs.changed(record(f"for-loop-1[{number}]", "SUCCEEDED", "for-loop-1"))
    runs.changed(record("for-loop-1", "SUCCEEDED"))
    runs.changed(record("tell", "NOT_TRIGGERED"))
    runs.end("COMPLETE")
    picture = text(client, job, "pipeline.svg", tmp_path)
    assert "My job" in picture
    assert "<title>train: \N{MULTIPLICATION SIGN}3: 3 succeeded</title>" in picture
    assert "<title>for-loop-1: succeeded</title>" in picture
    assert "<title>tell: not triggered</title>" in picture


def test_a_task_that_is_tried_again_goes_on_in_its_run(
    session: Session, client: MlflowClient, job_id: str
) -> None:
    runs = observer(session, job_id)
    runs.start()
    first = runs.environment(record("load", "RUNNING"))
    second = runs.environment(record("load", "RUNNING", tries=2))
    runs.changed(record("load", "SUCCEEDED", tries=2))
    runs.end("COMPLETE")
    assert first == second
    assert list(children(client, job_id)) == ["load"]


def test_a_task_whose_group_is_tried_again_ends_as_its_last_try(
    session: Session, client: MlflowClient, job_id: str, tmp_path: Path
) -> None:
    runs = observer(session, job_id)
    runs.start()
    run_task(runs, "load", "FAILED", error="e")
    run_task(runs, "load", "SUCCEEDED")
    runs.end("COMPLETE")
    run = children(client, job_id)["load"]
    assert (run.info.status, run.data.tags["unified_mlops.error"]) == ("FINISHED", "")
    picture = text(client, named(client, job_id), "pipeline.svg", tmp_path)
    assert "<title>load: succeeded</title>" in picture


def test_a_job_that_is_taken_up_again_goes_on_in_its_runs(
    session: Session, client: MlflowClient, job_id: str
) -> None:
    runs = observer(session, job_id)
    runs.start()
    run_task(runs, "load", inputs={"x": 1})
    run_task(runs, "tell", "FAILED", error="e")
    runs.end("FAILED")
    before = {name: run.info.run_id for name, run in children(client, job_id).items()}
    again = observer(session, job_id)
    again.start()
    assert named(client, job_id).info.status == "RUNNING"
    again.changed(record("load", "SUCCEEDED", inputs={"x": 1}))  # told again
    run_task(again, "tell")
    again.end("COMPLETE")
    after = children(client, job_id)
    assert {name: run.info.run_id for name, run in after.items()} == before
    assert {run.info.status for run in after.values()} == {"FINISHED"}
    assert named(client, job_id).info.status == "FINISHED"


def test_a_run_of_that_name_which_is_no_run_of_the_job_is_left_alone(
    session: Session, job_id: str
) -> None:
    ExperimentRun.create(job_id, "e", session=session)
    with pytest.raises(AlreadyExistsError):
        observer(session, job_id).start()


def test_without_an_experiment_nothing_is_recorded_and_tasks_get_the_session(
    store: Path, session: Session, client: MlflowClient, job_id: str
) -> None:
    whole(session, next(JOB))
    before = len(client.search_runs([client.get_experiment_by_name("e").experiment_id]))
    runs = observer(session, job_id, experiment=None)
    runs.start()
    assert runs.environment(record("load", "RUNNING")) == {"RUN": ""}
    run_task(runs, "load")
    runs.end("COMPLETE")
    assert len(client.search_runs([client.get_experiment_by_name("e").experiment_id])) == before


def test_one_task_that_cannot_be_recorded_costs_no_other_and_is_said_once(
    session: Session,
    client: MlflowClient,
    job_id: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(name: str) -> None:
        if name.endswith(("[0]", "[2]")):
            raise ValueError(name)

    monkeypatch.setattr(Watched, "fail", staticmethod(fail))
    runs = observer(session, job_id)
    runs.start()
    for number in range(4):
        given = runs.environment(record(f"train[{number}]", "RUNNING"))
        assert given["RUN"] == (job_id if number in (0, 2) else f"{job_id}/train[{number}]")
        runs.changed(record(f"train[{number}]", "SUCCEEDED"))
    with caplog.at_level(logging.WARNING):
        runs.end("COMPLETE")
    assert set(children(client, job_id)) == {"train[1]", "train[3]"}
    assert named(client, job_id).info.status == "FINISHED"
    assert len([r for r in caplog.records if "not all of it is recorded" in r.message]) == 1


def test_a_tool_that_is_away_is_not_asked_for_every_task(
    session: Session, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def fail(name: str) -> None:
        asked.append(name)
        raise BackendError("away", hint="start it")

    runs = observer(session, job_id)
    runs.start()
    monkeypatch.setattr(Watched, "fail", staticmethod(fail))
    for number in range(20):
        run_task(runs, f"train[{number}]")
    runs.end("COMPLETE")
    assert len(asked) <= 4


def test_tasks_that_run_at_once_each_get_their_own_run(
    session: Session, client: MlflowClient, job_id: str
) -> None:
    runs = observer(session, job_id)
    runs.start()
    guard = threading.Lock()

    def one(number: int) -> None:
        given = runs.environment(record(f"train[{number}]", "RUNNING"))
        assert given["RUN"] == f"{job_id}/train[{number}]"
        with guard:
            runs.changed(record(f"train[{number}]", "SUCCEEDED", inputs={"x": number}))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(40)))
    runs.end("COMPLETE")
    found = children(client, job_id)
    assert {name: run.data.params["x"] for name, run in found.items()} == {
        f"train[{number}]": str(number) for number in range(40)
    }
    assert {run.info.status for run in found.values()} == {"FINISHED"}
