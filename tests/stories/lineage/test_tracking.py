"""Plain MLflow: runs, inputs, models, the registry and its aliases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow.models import infer_signature
from sklearn.linear_model import LinearRegression
from tests.stories.lineage.conftest import Check
from tests.stories.lineage.native import Bench

pytestmark = pytest.mark.story
FRAME = {"a": [1.0, 2.0, 3.0], "b": [2.0, 1.0, 0.0], "y": [0.0, 1.0, 1.0]}


def train(source: str | Path, columns: tuple[str, ...] = ("a", "b"), **model: Any) -> Any:
    """What people write: a run that reads a file and logs a model."""
    frame = pd.read_parquet(source)
    features = frame[list(columns)]
    with mlflow.start_run() as run:
        dataset = mlflow.data.from_pandas(frame, source=str(source), name="train")
        mlflow.log_input(dataset, context="training")
        fitted = LinearRegression().fit(features, frame["y"])
        info = mlflow.sklearn.log_model(
            fitted,
            name="m",
            signature=infer_signature(features, frame["y"]),
            pip_requirements=[],
            **model,
        )
    return run.info.run_id, info


def trained(
    bench: Bench, truth: Any, file: str, made: Any, *columns: str, experiment: str = "0"
) -> tuple[str, str]:
    """What `train` did; the URNs of the run and of the model."""
    run_id, info = made
    run = bench.run(truth, run_id, experiment)
    truth.node("dataset", file, *FRAME)
    truth.edge(file, "INPUT", run)
    model = bench.model(truth, run, info.model_id, *columns)
    truth.columns(file, model, *columns)
    return run, model


def test_a_model_registered_by_its_runs_uri(bench: Bench, check: Check) -> None:
    file = bench.file("train.parquet", FRAME)
    made = train(bench.folder / "train.parquet")
    mlflow.register_model(f"runs:/{made[0]}/m", "delay")
    truth = bench.truth()
    _, model = trained(bench, truth, file, made, "a", "b")
    bench.version(truth, model, "delay", 1, "a", "b")
    check(bench.collect(), truth)


def test_a_version_that_was_copied_and_then_deleted(bench: Bench, check: Check) -> None:
    """What was seen stays; a name that was deleted names nothing any more."""
    file = bench.file("train.parquet", FRAME)
    made = train(bench.folder / "train.parquet", registered_model_name="delay")
    client = mlflow.MlflowClient()
    client.copy_model_version("models:/delay/1", "live")
    bench.collect()
    client.delete_model_version("live", "1")
    bench.collect()
    with mlflow.start_run() as late:
        mlflow.log_param("model_uri", "models:/live/1")
    truth = bench.truth()
    _, model = trained(bench, truth, file, made, "a", "b")
    first = bench.version(truth, model, "delay", 1, "a", "b")
    bench.version(truth, first, "live", 1, "a", "b")
    bench.run(truth, late.info.run_id)
    truth.unresolved("models:/live/1")
    check(bench.collect(), truth)


def use(text: str) -> str:
    """A run that says by which name it loaded a model: `load_model` itself leaves no record."""
    with mlflow.start_run() as run:
        mlflow.log_param("model_uri", text)
        mlflow.pyfunc.load_model(text)
    return str(run.info.run_id)


def two_versions(bench: Bench, alias: str = "") -> tuple[Any, str, str]:
    """Two trainings and two versions, the first one with an alias."""
    file = bench.file("train.parquet", FRAME)
    path, truth, found = bench.folder / "train.parquet", bench.truth(), []
    for number, columns in enumerate([("a",), ("a", "b")], 1):
        made = train(path, columns, registered_model_name="delay")
        _, model = trained(bench, truth, file, made, *columns)
        found.append(bench.version(truth, model, "delay", number, *columns))
    if alias:
        mlflow.MlflowClient().set_registered_model_alias("delay", alias, "1")
    return truth, found[0], found[1]


def test_a_traced_call_of_a_model(bench: Bench, check: Check) -> None:
    file = bench.file("train.parquet", FRAME)
    made = train(bench.folder / "train.parquet")
    model = mlflow.sklearn.load_model(made[1].model_uri)

    @mlflow.trace
    def serve(frame: pd.DataFrame) -> list[float]:
        return list(model.predict(frame))

    mlflow.set_active_model(model_id=made[1].model_id)
    try:
        serve(pd.DataFrame(FRAME)[["a", "b"]])
    finally:
        mlflow.clear_active_model()
    mlflow.flush_trace_async_logging()
    (traced,) = mlflow.search_traces(return_type="list", locations=["0"])
    truth = bench.truth()
    _, logged = trained(bench, truth, file, made, "a", "b")
    trace = truth.node("trace", f"mlflow:trace/{traced.info.trace_id}")
    truth.edge(logged, "DERIVES", trace)
    truth.edge(bench.experiment(), "PARENT_OF", trace)
    check(bench.collect(), truth)


def test_the_nested_runs_of_an_autologged_search(
    bench: Bench, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV

    # It starts a process that takes 10 s, and says nothing of lineage.
    monkeypatch.setattr(mlflow.models, "infer_pip_requirements", lambda *_, **__: [])
    mlflow.sklearn.autolog()
    frame = pd.DataFrame({"a": range(12), "b": range(12, 0, -1)}, dtype=float)
    with mlflow.start_run() as search:
        GridSearchCV(Ridge(), {"alpha": [0.1, 1.0]}, cv=2).fit(frame, frame.a)
    mlflow.sklearn.autolog(disable=True)
    client = mlflow.MlflowClient()
    tag = f"tags.mlflow.parentRunId = '{search.info.run_id}'"
    trials = client.search_runs(["0"], tag)
    models = client.search_logged_models(["0"])
    assert len(trials) == 2
    assert {model.source_run_id for model in models} == {search.info.run_id}
    truth = bench.truth()
    parent = bench.run(truth, search.info.run_id)
    for trial in trials:
        truth.edge(parent, "PARENT_OF", bench.run(truth, trial.info.run_id))
    for model in models:
        bench.model(truth, parent, model.model_id, "a", "b")
    truth.unresolved("dataset 'dataset'")  # a frame in memory: its source is the program
    check(bench.collect(), truth)


def spelt(bench: Bench) -> tuple[list[str], str]:
    """One file, spelt in four ways."""
    file = bench.file("data/train.parquet", FRAME)
    path = bench.folder / "data" / "train.parquet"
    (bench.folder / "link.parquet").symlink_to(path)
    link = str(bench.folder / "link.parquet")
    return ["data/train.parquet", link, f"file://localhost{path}", str(path)], file


def read(source: str) -> str:
    """A run that reads a file, with nothing else."""
    with mlflow.start_run() as run:
        frame = pd.DataFrame(FRAME)
        # Each run has an input of its own name: MLflow confuses equal ones, see trap 1.
        dataset = mlflow.data.from_pandas(frame, source=source, name=f"n{run.info.run_id}")
        mlflow.log_input(dataset)
    return str(run.info.run_id)


def test_one_file_spelt_four_ways_is_one_node(bench: Bench, ambient: None, check: Check) -> None:
    """The working directory, to which one of them is relative, our package notes on the run."""
    ways, file = spelt(bench)
    truth = bench.truth()
    truth.node("dataset", file, *FRAME)
    for way in ways:
        truth.edge(file, "INPUT", bench.run(truth, read(way)))
    check(bench.collect(), truth)


def test_a_relative_path_to_nobody_knows_what_is_unresolved(bench: Bench, check: Check) -> None:
    ways, file = spelt(bench)
    truth = bench.truth()
    truth.node("dataset", file, *FRAME)
    for way in ways[1:]:
        truth.edge(file, "INPUT", bench.run(truth, read(way)))
    run_id = read(ways[0])
    why = "MLflow stores a relative path and no working directory"
    truth.lost(file, "INPUT", bench.run(truth, run_id), why=why)
    truth.unresolved(f"dataset 'n{run_id}'")
    check(bench.collect(), truth)


def same_frame(bench: Bench, **tags: str) -> tuple[Any, list[str], list[str]]:
    """Two runs, one frame, two sources; with `tags`, each input says so itself."""
    files = [bench.file(f"{name}.parquet", FRAME) for name in ("one", "two")]
    truth, runs = bench.truth(), []
    for file in files:
        with mlflow.start_run() as run:
            source = file.removeprefix("file://")
            dataset = mlflow.data.from_pandas(pd.DataFrame(FRAME), source=source, name="train")
            mlflow.log_input(dataset, tags=dict.fromkeys(tags, file) or None)
        runs.append(bench.run(truth, run.info.run_id))
    return truth, files, runs


def test_trap_01_one_frame_from_two_sources_natively(bench: Bench, check: Check) -> None:
    """MLflow's own record is wrong, and nothing in it says so: a limit, not a success."""
    truth, files, runs = same_frame(bench)
    stored = [mlflow.get_run(run.rpartition("/")[2]).inputs.dataset_inputs for run in runs]
    assert all("one.parquet" in inputs[0].dataset.source for inputs in stored)
    truth.node("dataset", files[0], *FRAME)
    truth.edge(files[0], "INPUT", runs[0])
    why = "MLflow stores the first source of equal frames"
    truth.false(files[0], "INPUT", runs[1], why=why)
    truth.lost(files[1], "INPUT", runs[1], why=why)
    check(bench.collect(), truth)


def test_trap_01_one_frame_from_two_sources_with_input_tags(bench: Bench, check: Check) -> None:
    truth, files, runs = same_frame(bench, **{"unified_mlops.uri": "yes"})
    for file, run in zip(files, runs, strict=True):
        truth.edge(truth.node("dataset", file, *FRAME), "INPUT", run)
    check(bench.collect(), truth)


def test_a_run_that_was_deleted_still_happened(bench: Bench, check: Check) -> None:
    file = bench.file("train.parquet", FRAME)
    made = train(bench.folder / "train.parquet")
    mlflow.delete_run(made[0])
    truth = bench.truth()
    trained(bench, truth, file, made, "a", "b")
    check(bench.collect(), truth)


def test_only_training_data_makes_the_columns_of_a_model(bench: Bench, check: Check) -> None:
    """A run reads a file to train on and another one to test with: both inputs, one origin."""
    file, held = bench.file("train.parquet", FRAME), bench.file("held.parquet", FRAME)
    frame = pd.DataFrame(FRAME)
    with mlflow.start_run() as run:
        for path, context in (("train.parquet", "training"), ("held.parquet", "testing")):
            source = str(bench.folder / path)
            data = mlflow.data.from_pandas(frame, source=source, name=context)
            mlflow.log_input(data, context=context)
        info = mlflow.sklearn.log_model(
            LinearRegression().fit(frame[["a"]], frame.y),
            name="m",
            signature=infer_signature(frame[["a"]]),
            pip_requirements=[],
        )
    truth = bench.truth()
    reader, _ = trained(bench, truth, file, (run.info.run_id, info), "a")
    truth.edge(truth.node("dataset", held, *FRAME), "INPUT", reader)
    check(bench.collect(), truth)


def test_a_version_of_files_that_nobody_says_who_made(bench: Bench, check: Check) -> None:
    frame = pd.DataFrame(FRAME)
    mlflow.sklearn.save_model(
        LinearRegression().fit(frame[["a"]], frame.y),
        bench.folder / "saved",
        signature=infer_signature(frame[["a"]]),
        pip_requirements=[],
    )
    mlflow.register_model(str(bench.folder / "saved"), "delay")
    truth = bench.truth()
    family = truth.node("registered_model", bench.registered("delay"))
    truth.edge(family, "VERSION_OF", truth.node("model_version", bench.registered("delay", 1), "a"))
    truth.unresolved("delay@1: nothing says who made")
    check(bench.collect(), truth)
