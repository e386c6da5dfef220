"""Uses of a model by an alias: what it meant then, as far as anybody can know.

`mlflow.pyfunc.load_model("models:/m@prod")` leaves no record; a param that holds the text does, and
MLflow's evaluator notes the logged model.
"""

from __future__ import annotations

import mlflow
import pandas as pd
import pytest
from tests.stories.lineage.conftest import Check
from tests.stories.lineage.native import Bench
from tests.stories.lineage.test_tracking import FRAME, train, trained, two_versions, use

pytestmark = pytest.mark.story


def test_an_alias_that_moved_between_two_uses(bench: Bench, check: Check) -> None:
    truth, first, second = two_versions(bench, "prod")
    bench.collect()
    before = use("models:/delay@prod")
    bench.collect()
    mlflow.MlflowClient().set_registered_model_alias("delay", "prod", "2")
    bench.collect()
    after = use("models:/delay@prod")
    truth.edge(first, "INPUT", bench.run(truth, before))
    truth.edge(second, "INPUT", bench.run(truth, after))
    check(bench.collect(), truth)


def test_an_alias_that_moved_between_two_looks_is_ambiguous(bench: Bench, check: Check) -> None:
    truth, first, second = two_versions(bench, "prod")
    bench.collect()
    run = bench.run(truth, use("models:/delay@prod"))
    mlflow.MlflowClient().set_registered_model_alias("delay", "prod", "2")
    truth.guess(first, "INPUT", run, right=True)
    truth.guess(second, "INPUT", run, right=False)
    session = bench.collect()
    check(session, truth)
    assert [f.about for f in session.lineage.doctor() if f.kind == "ambiguous"] == [run]


def test_an_alias_that_had_moved_before_the_first_look(bench: Bench, check: Check) -> None:
    """MLflow forgets what an alias meant: whoever looks too late cannot know."""
    truth, first, second = two_versions(bench, "prod")
    run = bench.run(truth, use("models:/delay@prod"))
    mlflow.MlflowClient().set_registered_model_alias("delay", "prod", "2")
    truth.guess(first, "INPUT", run, right=True)
    truth.guess(second, "INPUT", run, right=False)
    check(bench.collect(), truth)


def test_an_alias_that_was_removed(bench: Bench, check: Check) -> None:
    truth, first, _ = two_versions(bench, "prod")
    bench.collect()
    before = use("models:/delay@prod")
    bench.collect()
    mlflow.MlflowClient().delete_registered_model_alias("delay", "prod")
    bench.collect()
    with mlflow.start_run() as after:
        mlflow.log_param("model_uri", "models:/delay@prod")
    truth.edge(first, "INPUT", bench.run(truth, before))
    bench.run(truth, after.info.run_id)
    truth.unresolved("models:/delay@prod")
    check(bench.collect(), truth)


def test_an_evaluation_of_what_an_alias_meant(bench: Bench, check: Check) -> None:
    """MLflow notes the logged model that it evaluated, so nothing needs to be guessed."""
    file = bench.file("train.parquet", FRAME)
    held = bench.file("held.parquet", {**FRAME, "b": [5.0, 6.0, 7.0]})
    made = train(bench.folder / "train.parquet", registered_model_name="delay")
    client = mlflow.MlflowClient()
    client.set_registered_model_alias("delay", "prod", "1")
    data = mlflow.data.from_pandas(
        pd.read_parquet(bench.folder / "held.parquet"),
        source=str(bench.folder / "held.parquet"),
        targets="y",
        name="held",
    )
    with mlflow.start_run() as run:
        mlflow.models.evaluate(
            "models:/delay@prod",
            data,
            model_type="regressor",
            evaluator_config={"log_model_explainability": False},
        )
    truth = bench.truth()
    _, model = trained(bench, truth, file, made, "a", "b")
    bench.version(truth, model, "delay", 1, "a", "b")
    evaluation = bench.run(truth, run.info.run_id)
    truth.edge(truth.node("dataset", held, *FRAME), "INPUT", evaluation)
    truth.edge(model, "INPUT", evaluation)
    check(bench.collect(), truth)
