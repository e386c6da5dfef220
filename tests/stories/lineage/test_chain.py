"""The whole chain over all tools: from a source column to an alert and back."""

import json
import subprocess
import sys
from datetime import datetime, timezone

import mlflow
import pandas as pd
import pytest
from kfp import dsl
from kfp.dsl import Dataset, Output
from mlflow.models import infer_signature
from sklearn.linear_model import LinearRegression
from tests.stories.lineage.conftest import Check
from tests.stories.lineage.native import Bench
from tests.stories.lineage.scenario import Truth
from tests.stories.lineage.test_features import BOTH, DATA, SALES
from tests.stories.lineage.test_monitoring import Monitor, told, watched
from tests.stories.lineage.test_pipelines import Local, Told, component

from unified_mlops import instrument

pytestmark = pytest.mark.story
HELD = ("id", "event_timestamp", *BOTH)

TRAIN = """
import mlflow, pandas as pd
from feast import FeatureStore
from mlflow.models import infer_signature
from sklearn.linear_model import LinearRegression

asked = pd.DataFrame({"id": [1, 2], "event_timestamp": [pd.Timestamp("2024-01-01", tz="UTC")] * 2})
with mlflow.start_run():
    refs = ["sales:amount", "sales:items"]
    frame = FeatureStore("repo").get_historical_features(asked, features=refs).to_df()
    frame.to_parquet("set.parquet")
    inputs = frame[["amount", "items"]]
    mlflow.sklearn.log_model(
        LinearRegression().fit(inputs, [0, 1]),
        name="m",
        signature=infer_signature(inputs),
        pip_requirements=[],
        registered_model_name="delay",
    )
"""


@component
def score(place: str, scored: Output[Dataset]) -> str:
    import mlflow
    import pandas as pd

    scored.uri += ".parquet"
    frame = pd.read_parquet(place)
    with mlflow.start_run() as run:
        mlflow.log_input(mlflow.data.from_pandas(frame, source=place, name="scored"))
        mlflow.log_param("model_uri", "models:/delay@prod")
        model = mlflow.sklearn.load_model("models:/delay@prod")
        frame["late"] = model.predict(frame[["amount", "items"]])
    frame.to_parquet(scored.path)
    return run.info.run_id


@dsl.pipeline(name="scoring")
def scoring(place: str):
    score(place=place)


def test_from_a_source_column_to_an_alert_and_back(
    bench: Bench, ambient: None, check: Check
) -> None:
    """Trained below `umlops run`, scored in a pipeline below it, watched, and trained again."""
    repo, monitor, kfp = bench.feast(), Monitor(bench), Local(bench)
    file = bench.file("repo/data/sales.parquet", DATA)
    repo.apply(SALES)
    environment = instrument.environment(bench.environment(ambient=True))
    subprocess.run([sys.executable, "-c", TRAIN], env=environment, cwd=bench.folder, check=True)
    client = mlflow.MlflowClient()
    client.set_registered_model_alias("delay", "prod", "1")
    truth = bench.truth()
    view = repo.told(truth, "sales", file, BOTH)
    frame, model = retrieved_and_trained(bench, truth, view)
    first = bench.version(truth, model, "delay", 1, *BOTH)

    with pytest.MonkeyPatch.context() as patch:
        for name, text in environment.items():
            patch.setenv(name, text)
        folder = kfp.run(scoring, place=str(bench.folder / "set.parquet"))
    scored, run = scored_in(bench, Told(truth, scoring, folder))
    truth.edge(first, "INPUT", run)
    kept = truth.node("dataset", f"file://{bench.folder}/set.parquet", *HELD)
    truth.edge(frame, "DERIVES", kept)
    truth.edge(kept, "INPUT", run)
    for made in (kept, truth.node("dataset", scored, *BOTH)):
        truth.edge(view, "DERIVES", made)
        truth.columns(view, made, *BOTH)

    about = {"model": "models:/delay@prod", "current": scored.removeprefix("file://")}
    report, metrics = told(truth, monitor.add(monitor.compare(BOTH, about)), drifted="amount")
    watched(truth, first, report, metrics, *BOTH)
    watched(truth, scored, report, metrics, *BOTH)
    bench.collect()
    before = datetime.now(timezone.utc)

    second = trained_again(bench, truth, file)
    client.set_registered_model_alias("delay", "prod", "2")
    bench.collect()
    again = monitor.add(monitor.compare(BOTH, {"model": "models:/delay@prod"}))
    watched(truth, second, *told(truth, again, drifted="amount"), *BOTH)
    session = bench.collect()
    check(session, truth)

    alert, source, ask = metrics["amount"], f"{file}#amount", session.lineage
    ends = ask.upstream(alert, plane="column").source_columns
    assert [node.uri for node in ends] == [source]
    assert ask.upstream("models:/delay@prod").root == second
    assert ask.upstream("models:/delay@prod", as_of=before).root == first
    now, then = ask.impact(source).nodes, ask.impact(source, as_of=before).nodes
    assert {alert, f"{first}#amount", f"{second}#amount"} <= {*now}
    assert {alert, f"{first}#amount"} <= {*then}
    assert not {metrics["items"], f"{first}#items"} & {*now}
    assert not [uri for uri in then if uri.startswith(second) or again.stem in uri]
    assert {model, first} <= {*then}
    assert {model, first, second} <= {*now}


def retrieved_and_trained(bench: Bench, truth: Truth, view: str) -> tuple[str, str]:
    """Say what `TRAIN` did; the URNs of the frame that Feast returned, and of the model."""
    (done,) = mlflow.search_runs(["0"], output_format="list")
    run = bench.run(truth, done.info.run_id)
    (given,) = mlflow.get_run(done.info.run_id).inputs.dataset_inputs
    tags = {tag.key: tag.value for tag in given.tags}  # the id of a retrieval is opaque
    frame = truth.node("dataset", tags["unified_mlops.uri"], *HELD)
    truth.edge(view, "DERIVES", frame)
    truth.columns(view, frame, *BOTH)
    truth.edge(frame, "INPUT", run)
    (made,) = mlflow.search_logged_models(["0"], output_format="list")
    model = bench.model(truth, run, made.model_id, *BOTH)
    truth.columns(frame, model, *BOTH)
    return frame, model


def scored_in(bench: Bench, said: Told) -> tuple[str, str]:
    """Say what the pipeline `scoring` did; the URNs of what it wrote and of the run in it."""
    written = json.loads((said.folder / "score" / "executor_output.json").read_text())
    task = said.task("score")
    run = bench.run(said.truth, written["parameterValues"]["Output"])
    said.truth.edge(task, "PARENT_OF", run)
    scored = said.truth.node("dataset", said.at("score/scored.parquet"))
    said.truth.edge(task, "OUTPUT", scored)
    return scored, run


def trained_again(bench: Bench, truth: Truth, file: str) -> str:
    """Train from the source itself, with MLflow alone; the URN of the version."""
    frame = pd.read_parquet(file.removeprefix("file://"))
    with mlflow.start_run() as run:
        mlflow.log_input(mlflow.data.from_pandas(frame, source=file, name="sales"))
        inputs = frame[[*BOTH]]
        info = mlflow.sklearn.log_model(
            LinearRegression().fit(inputs, [0, 1]),
            name="m",
            signature=infer_signature(inputs),
            pip_requirements=[],
            registered_model_name="delay",
        )
    reader = bench.run(truth, run.info.run_id)
    truth.edge(truth.node("dataset", file, *DATA), "INPUT", reader)
    model = bench.model(truth, reader, info.model_id, *BOTH)
    truth.columns(file, model, *BOTH)
    return bench.version(truth, model, "delay", 2, *BOTH)
