"""The traps of the design in what Feast writes, met by native work."""

from __future__ import annotations

from collections.abc import Mapping

import mlflow
import pytest
from mlflow.models import infer_signature
from sklearn.linear_model import LinearRegression
from tests.stories.lineage.conftest import Check
from tests.stories.lineage.native import Bench, FeastRepo
from tests.stories.lineage.scenario import Truth
from tests.stories.lineage.test_features import (
    BOTH,
    DATA,
    SALES,
    another,
    file_of,
    retrieve,
    train,
    trained,
)

from unified_mlops.lineage.urn import column

pytestmark = pytest.mark.story


def test_trap_14_a_source_that_changed_before_the_first_look(
    bench: Bench, repo: FeastRepo, check: Check
) -> None:
    """Feast's history holds the first definition, but not until when it was live."""
    repo.apply(SALES)
    before = train(repo, ["sales:amount", "sales:items"], BOTH)
    truth = bench.truth()
    first = short_lived(repo.told(truth, "sales", file_of(bench, "sales"), BOTH), truth)
    repo.apply(SALES.replace("sales.parquet", "moved.parquet"))
    after = train(repo, ["sales:amount", "sales:items"], BOTH)
    second = repo.told(truth, "sales", file_of(bench, "moved"), BOTH)
    trained(bench, truth, after, second, BOTH)
    guessed(bench, truth, before, {first: True, second: False})
    check(bench.collect(), truth)


def short_lived(view: str, truth: Truth) -> str:
    """Say that nobody knows for how long a definition was the live one."""
    live = view.rpartition("@")[0]
    truth.edges.remove((view, "DERIVES", live))
    truth.guess(view, "DERIVES", live, right=True)
    return view


def guessed(bench: Bench, truth: Truth, made: tuple[str, str], views: Mapping[str, bool]) -> None:
    """Say that a run read one of these views and made a model of it, nobody knows of which."""
    run = bench.run(truth, made[0])
    model = bench.model(truth, run, made[1], *BOTH)
    for view, right in views.items():
        truth.guess(view, "INPUT", run, right=right)
        for name in BOTH:
            truth.guess(column(view, name), "DERIVES", column(model, name), right=right)


def test_trap_14_a_source_that_was_replaced_twice_before_the_first_look(
    bench: Bench, repo: FeastRepo, check: Check
) -> None:
    """Feast keeps the first path and the last: what was read between is lost, and never sure."""
    truth = bench.truth()
    repo.apply(SALES)
    first = short_lived(repo.told(truth, "sales", file_of(bench, "sales"), BOTH), truth)
    bench.file("repo/data/between.parquet", DATA)
    repo.apply(SALES.replace("sales.parquet", "between.parquet"))
    made = train(repo, ["sales:amount", "sales:items"], BOTH)
    why = "Feast overwrites the path of a source"
    truth.lost(file_of(bench, "between"), "DERIVES", repo.view("sales"), why=why)
    truth.lost(repo.view("sales"), "INPUT", f"mlflow:run/{made[0]}", why=why)
    repo.apply(SALES.replace("sales.parquet", "moved.parquet"))
    last = repo.told(truth, "sales", file_of(bench, "moved"), BOTH)
    guessed(bench, truth, made, {first: False, last: False})
    check(bench.collect(), truth)


def test_trap_04_a_service_tag_that_went_stale(bench: Bench, repo: FeastRepo, check: Check) -> None:
    """Feast clears the tag of the first retrieval's service not when the second has none."""
    repo.apply(
        SALES
        + another("other")
        + 'basic = FeatureService(name="basic", features=[sales[["amount"]]])\n'
    )
    bench.file("repo/data/other.parquet", DATA)
    with mlflow.start_run() as run:
        retrieve(repo, repo.store.get_feature_service("basic"))
        retrieve(repo, ["other:items"])
    tags = mlflow.get_run(run.info.run_id).data.tags
    assert (tags["feast.feature_service"], tags["feast.feature_refs"]) == ("basic", "other:items")
    truth = bench.truth()
    sales = repo.told(truth, "sales", file_of(bench, "sales"), BOTH)
    other = repo.told(truth, "other", file_of(bench, "other"), BOTH)
    basic = repo.serves(truth, "basic", {"sales": ["amount"]})
    both = bench.run(truth, run.info.run_id)
    truth.edge(other, "INPUT", both)
    truth.guess(basic, "INPUT", both, right=True)
    truth.lost(sales, "INPUT", both, why="Feast keeps the references of the last retrieval only")
    truth.unresolved("the last of 2 retrievals")
    check(bench.collect(), truth)


def test_trap_03_a_training_set_that_is_no_file(
    bench: Bench, repo: FeastRepo, check: Check
) -> None:
    repo.apply(SALES)
    with mlflow.start_run() as run:
        frame = retrieve(repo, ["sales:amount"])
        repo.store.mlflow.log_training_dataset(frame)
    (given,) = mlflow.get_run(run.info.run_id).inputs.dataset_inputs
    assert "feast.get_historical_features" in given.dataset.source
    truth = bench.truth()
    view = repo.told(truth, "sales", file_of(bench, "sales"), BOTH)
    truth.edge(view, "INPUT", bench.run(truth, run.info.run_id))
    check(bench.collect(), truth)


def test_trap_09_features_of_one_name_in_two_views(
    bench: Bench, repo: FeastRepo, check: Check
) -> None:
    repo.apply(SALES + another("moved"))
    with mlflow.start_run() as run:
        frame = retrieve(repo, ["sales:amount", "moved:amount"], full=True)
        inputs = frame[["sales__amount", "moved__amount"]]
        info = mlflow.sklearn.log_model(
            LinearRegression().fit(inputs, [0, 1]),
            name="m",
            signature=infer_signature(inputs),
            pip_requirements=[],
        )
    truth = bench.truth()
    reader = bench.run(truth, run.info.run_id)
    model = bench.model(truth, reader, info.model_id, *inputs)
    for name in ("sales", "moved"):
        view = repo.told(truth, name, file_of(bench, name), BOTH)
        truth.edge(view, "INPUT", reader)
        truth.columns(view, model, amount=f"{name}__amount")
    check(bench.collect(), truth)
