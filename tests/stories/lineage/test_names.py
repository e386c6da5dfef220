"""Names that come again and mean something else, and names that are hard to write."""

from __future__ import annotations

from datetime import datetime, timezone

import mlflow
import pandas as pd
import pytest
from mlflow.models import infer_signature
from sklearn.linear_model import LinearRegression
from tests.stories.lineage.conftest import Check
from tests.stories.lineage.native import Bench, FeastRepo
from tests.stories.lineage.test_features import BOTH, SALES, another, retrieve
from tests.stories.lineage.test_tracking import FRAME, train, trained, use

pytestmark = pytest.mark.story


def test_a_view_that_was_deleted_and_came_again(
    bench: Bench, repo: FeastRepo, check: Check
) -> None:
    rest = SALES[: SALES.index("sales =")] + another("moved")
    repo.apply(SALES + another("moved"))
    bench.collect()
    before = datetime.now(timezone.utc)
    bench.collect()
    repo.apply(rest)
    bench.collect()
    gone = datetime.now(timezone.utc)
    bench.collect()
    repo.apply(SALES + another("moved"))
    truth = bench.truth()
    files = {name: f"file://{repo.path}/data/{name}.parquet" for name in ("sales", "moved")}
    for name, file in files.items():
        repo.told(truth, name, file, BOTH)
    session = bench.collect()
    check(session, truth)
    live = f"{repo.root}/featureView/sales"
    for moment, found in ((before, {files["sales"]}), (gone, set()), (None, {files["sales"]})):
        above = session.lineage.upstream(live, as_of=moment)
        assert {node.uri for node in above.of_kind("dataset")} == found


def test_a_version_number_that_came_again(bench: Bench, check: Check) -> None:
    """A registered model that was deleted begins anew at 1: that is another version."""
    file = bench.file("train.parquet", FRAME)
    other = bench.file("other.parquet", {**FRAME, "b": [7.0, 8.0, 9.0]})
    first = train(bench.folder / "train.parquet", registered_model_name="delay")
    bench.collect()
    old = use("models:/delay/1")
    bench.collect()
    mlflow.MlflowClient().delete_registered_model("delay")
    bench.collect()
    second = train(bench.folder / "other.parquet", registered_model_name="delay")
    bench.collect()
    new = use("models:/delay/1")
    session = bench.collect()
    truth = bench.truth()
    models = [
        trained(bench, truth, place, made, "a", "b")[1]
        for place, made in ((file, first), (other, second))
    ]
    assert models
    reached = {
        run: {node.uri for node in session.lineage.upstream(f"mlflow:run/{run}").of_kind("dataset")}
        for run in (old, new)
    }
    assert reached == {old: {file}, new: {other}}


def test_a_registered_model_with_a_blank_in_its_name(bench: Bench, check: Check) -> None:
    file = bench.file("train.parquet", FRAME)
    made = train(bench.folder / "train.parquet", registered_model_name="late departures é")
    mlflow.MlflowClient().set_registered_model_alias("late departures é", "prod", "1")
    bench.collect()
    runs = [use(f"models:/late departures é{text}") for text in ("@prod", "/1")]
    truth = bench.truth()
    _, model = trained(bench, truth, file, made, "a", "b")
    version = bench.version(truth, model, "late%20departures%20%C3%A9", 1, "a", "b")
    for run in runs:
        truth.edge(version, "INPUT", bench.run(truth, run))
    check(bench.collect(), truth)


ODD = ("a b", "ü#1", "x/y", "p%q", "100%25", "k?=1", "Wind Speed (m/s)")


def test_columns_with_odd_names(bench: Bench, check: Check) -> None:
    frame = {name: [1.0, 2.0, 3.0] for name in ODD} | {"y": [0.0, 1.0, 1.0]}
    file = bench.file("odd name #1.parquet", frame)
    path = bench.folder / "odd name #1.parquet"
    inputs = pd.DataFrame(frame)[list(ODD)]
    with mlflow.start_run() as run:
        data = mlflow.data.from_pandas(pd.DataFrame(frame), source=str(path), name="odd")
        mlflow.log_input(data, context="training")
        info = mlflow.sklearn.log_model(
            LinearRegression().fit(inputs, frame["y"]),
            name="m",
            signature=infer_signature(inputs),
            pip_requirements=[],
        )
    truth = bench.truth()
    reader = bench.run(truth, run.info.run_id)
    truth.edge(truth.node("dataset", file, *frame), "INPUT", reader)
    truth.columns(file, bench.model(truth, reader, info.model_id, *ODD), *ODD)
    assert "%23" in file  # a `#` in a file's name begins no column
    check(bench.collect(), truth)


def test_a_model_by_feasts_own_integration(bench: Bench, repo: FeastRepo, check: Check) -> None:
    """Feast logs, registers and loads the model, and writes tags of its own about each."""
    repo.apply(SALES + 'whole = FeatureService(name="whole", features=[sales])\n')
    store = repo.store
    with mlflow.start_run() as training:
        frame = retrieve(repo, store.get_feature_service("whole"))[list(BOTH)]
        info = store.mlflow.log_model(
            LinearRegression().fit(frame, [0, 1]),
            "m",
            flavor="sklearn",
            signature=infer_signature(frame),
            pip_requirements=[],
        )
    del info
    store.mlflow.register_model(f"runs:/{training.info.run_id}/m", "value")
    with mlflow.start_run() as scoring:
        store.mlflow.load_model("models:/value/1")
    tags = mlflow.get_run(scoring.info.run_id).data.tags
    assert (tags["feast.model_name"], tags["feast.model_version"]) == ("value", "1")
    (logged,) = mlflow.search_logged_models(output_format="list")
    truth = bench.truth()
    view = repo.told(truth, "sales", f"file://{repo.path}/data/sales.parquet", BOTH)
    whole = repo.serves(truth, "whole", {"sales": BOTH})
    run = bench.run(truth, training.info.run_id)
    truth.edge(view, "INPUT", run)
    truth.edge(whole, "INPUT", run)
    model = bench.model(truth, run, logged.model_id, *BOTH)
    truth.columns(view, model, *BOTH)
    version = bench.version(truth, model, "value", 1, *BOTH)
    truth.edge(version, "INPUT", bench.run(truth, scoring.info.run_id))
    check(bench.collect(), truth)
