"""Two retrievals of 250 features in one run: natively, and below `umlops run`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

import mlflow
import pandas as pd
import pytest
from tests.stories.lineage.conftest import Check
from tests.stories.lineage.native import Bench, FeastRepo
from tests.stories.lineage.scenario import Truth

pytestmark = pytest.mark.story

DAY = pd.Timestamp("2024-01-01", tz="UTC")
NAMES = tuple(f"measurement_{number:04}" for number in range(250))
VIEW = """
{name} = FeatureView(
    name="{name}",
    entities=[customer],
    schema=[Field(name=f"measurement_{{n:04}}", dtype=Float64) for n in range(250)],
    source=FileSource(name="{name}_file", path="data/{name}.parquet", timestamp_field="ts"),
)
"""
DEFINITIONS = (
    '\ncustomer = Entity(name="customer", join_keys=["id"], value_type=ValueType.INT64)\n'
    + VIEW.format(name="wide")
    + VIEW.format(name="tall")
)
SCRIPT = f"""
import mlflow, pandas as pd
from feast import FeatureStore
from mlflow.models import infer_signature
from sklearn.linear_model import LinearRegression

names = [f"measurement_{{n:04}}" for n in range(250)]
store = FeatureStore("repo")
asked = pd.DataFrame({{"id": [1, 2], "event_timestamp": [pd.Timestamp("{DAY}")] * 2}})
with mlflow.start_run(run_name="retrieve"):
    for view in ("wide", "tall"):
        refs = [f"{{view}}:{{name}}" for name in names]
        frame = store.get_historical_features(asked, features=refs).to_df()
    frame.to_parquet("set.parquet")
with mlflow.start_run(run_name="train"):
    frame = pd.read_parquet("set.parquet")
    mlflow.log_input(mlflow.data.from_pandas(frame, source="set.parquet", name="set"), "training")
    inputs = frame[names[:3]]
    mlflow.sklearn.log_model(
        LinearRegression().fit(inputs, [0, 1]),
        name="m",
        signature=infer_signature(inputs),
        pip_requirements=[],
    )
"""


def prepared(bench: Bench, **settings: object) -> tuple[FeastRepo, Truth, Mapping[str, str]]:
    """A repo with two wide views; the URNs of their definitions."""
    repo, truth, views = bench.feast(**settings), bench.truth(), {}
    files = {}
    for view in ("wide", "tall"):
        data = {key: [1.0, 2.0] for key in NAMES}
        files[view] = bench.file(
            f"repo/data/{view}.parquet", {"id": [1, 2], "ts": [DAY] * 2} | data
        )
    repo.apply(DEFINITIONS)
    for view, file in files.items():
        views[view] = repo.told(truth, view, file, NAMES)
    return repo, truth, views


def runs_by_name() -> Mapping[str, str]:
    found = mlflow.MlflowClient().search_runs(["0"])
    return {run.info.run_name: run.info.run_id for run in found}


def test_two_retrievals_of_250_features_natively(bench: Bench, check: Check) -> None:
    """What Feast's tags lost is said, and nothing is made up in its place."""
    integration = {"enabled": True, "tracking_uri": bench.uri}
    _, truth, views = prepared(bench, mlflow=integration)
    exec(SCRIPT, {})  # in this process, as importing the tools takes 10 s
    runs = runs_by_name()
    tags = mlflow.get_run(runs["retrieve"]).data.tags
    assert tags["feast.feature_count"] == "250" and tags["feast.feature_refs"].endswith("...")
    retrieve, train = (bench.run(truth, runs[name]) for name in ("retrieve", "train"))
    truth.edge(views["tall"], "INPUT", retrieve)
    why = "Feast keeps the references of the last retrieval only"
    truth.lost(views["wide"], "INPUT", retrieve, why=why)
    truth.unresolved("of 250 feature references", "the last of 2 retrievals")
    (model,) = mlflow.search_logged_models(output_format="list")
    made = bench.model(truth, train, model.model_id, *NAMES[:3])
    truth.unresolved("dataset 'set'")  # MLflow stores a relative path and no working directory
    file = f"file://{bench.folder}/set.parquet"
    why = "MLflow stores a relative path and no working directory"
    truth.lost(file, "INPUT", train, why=why)
    why = "nobody records what a frame was made from and where it was written"
    truth.lost(views["tall"], "DERIVES", file, why=why)
    for name in NAMES[:3]:
        truth.lost(f"{views['tall']}#{name}", "DERIVES", f"{made}#{name}", why=why)
    check(bench.collect(), truth)


def test_two_retrievals_of_250_features_below_umlops_run(bench: Bench, check: Check) -> None:
    """Each frame says where each column came from, also after it was written to parquet."""
    _, truth, views = prepared(bench, mlflow={"enabled": True, "tracking_uri": bench.uri})
    umlops = [sys.executable, "-c", "from unified_mlops.cli import main; main()", "run", "--"]
    subprocess.run(
        [*umlops, sys.executable, "-c", SCRIPT],
        env=bench.environment(ambient=True),
        cwd=bench.folder,
        check=True,
    )
    runs = runs_by_name()
    retrieve, train = (bench.run(truth, runs[name]) for name in ("retrieve", "train"))
    frames = {}
    for item in mlflow.get_run(runs["retrieve"]).inputs.dataset_inputs:
        tags = {tag.key: tag.value for tag in item.tags}
        view = "wide" if "wide" not in frames else "tall"
        frames[view] = truth.node("dataset", tags["unified_mlops.uri"], *NAMES)
    for view, frame in frames.items():
        truth.node("dataset", frame, "id", "event_timestamp", *NAMES)
        truth.edge(views[view], "DERIVES", frame)
        truth.columns(views[view], frame, *NAMES)
        truth.edge(frame, "INPUT", retrieve)
    file = f"file://{bench.folder}/set.parquet"
    truth.node("dataset", file, "id", "event_timestamp", *NAMES)
    truth.edge(frames["tall"], "DERIVES", file)
    truth.edge(views["tall"], "DERIVES", file)
    truth.columns(views["tall"], file, *NAMES)
    truth.edge(file, "INPUT", train)
    (model,) = mlflow.search_logged_models(output_format="list")
    made = bench.model(truth, train, model.model_id, *NAMES[:3])
    truth.columns(file, made, *NAMES[:3])
    truth.edge(views["tall"], "INPUT", retrieve)  # this much Feast's own tags say
    check(bench.collect(), truth)
