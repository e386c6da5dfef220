"""Plain Feast, `feast apply` and its own MLflow integration."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow.models import infer_signature
from sklearn.linear_model import LinearRegression
from tests.stories.lineage.conftest import Check
from tests.stories.lineage.native import Bench, FeastRepo
from tests.stories.lineage.scenario import Truth

pytestmark = pytest.mark.story

DAY = pd.Timestamp("2024-01-01", tz="UTC")
DATA = {"id": [1, 2], "ts": [DAY, DAY], "amount": [1.0, 2.0], "items": [3.0, 4.0]}
SALES = """
customer = Entity(name="customer", join_keys=["id"], value_type=ValueType.INT64)
sales = FeatureView(
    name="sales",
    entities=[customer],
    ttl=timedelta(days=3),
    schema=[Field(name="amount", dtype=Float64), Field(name="items", dtype=Float64)],
    source=FileSource(name="sales_file", path="data/sales.parquet", timestamp_field="ts"),
)
"""
BOTH = ("amount", "items")


def another(name: str) -> str:
    """The definition of another view of that name, of a file of that name."""
    return SALES[SALES.index("sales =") :].replace("sales", name)


SERVICES = """
basic = FeatureService(name="basic", features=[sales[["amount"]]])
whole = FeatureService(name="whole", features=[sales])
"""


def retrieve(repo: FeastRepo, features: Any, full: bool = False, **asked: Any) -> pd.DataFrame:
    asked = {"id": [1, 2], "event_timestamp": [DAY + pd.Timedelta("1D")] * 2, **asked}
    job = repo.store.get_historical_features(pd.DataFrame(asked), features, full)
    found: pd.DataFrame = job.to_df()
    return found


def train(repo: FeastRepo, features: Any, columns: Sequence[str]) -> tuple[str, str]:
    """A run that retrieves features and logs a model of them; the ids of both."""
    with mlflow.start_run() as run:
        frame = retrieve(repo, features)[list(columns)]
        info = mlflow.sklearn.log_model(
            LinearRegression().fit(frame, [0, 1]),
            name="m",
            signature=infer_signature(frame),
            pip_requirements=[],
        )
    return str(run.info.run_id), info.model_id


def trained(
    bench: Bench, truth: Truth, made: tuple[str, str], view: str, columns: Sequence[str]
) -> tuple[str, str]:
    """Say that a run read a view and made a model of it."""
    run = bench.run(truth, made[0])
    truth.edge(view, "INPUT", run)
    model = bench.model(truth, run, made[1], *columns)
    truth.columns(view, model, *columns)
    return run, model


def file_of(bench: Bench, name: str) -> str:
    return f"file://{bench.folder}/repo/data/{name}.parquet"


def test_applied_twice_is_applied_once(bench: Bench, repo: FeastRepo, check: Check) -> None:
    repo.apply(SALES + SERVICES)
    bench.collect()
    repo.apply(SALES + SERVICES)
    repo.apply(SALES.replace("timedelta(days=3)", "timedelta(hours=72)") + SERVICES)
    truth = bench.truth()
    repo.told(truth, "sales", file_of(bench, "sales"), BOTH)
    repo.serves(truth, "basic", {"sales": ["amount"]})
    repo.serves(truth, "whole", {"sales": BOTH})
    check(bench.collect(), truth)


@pytest.mark.parametrize("change", [("sales.parquet", "moved.parquet"), ("days=3", "days=4")])
def test_a_changed_definition_between_two_trainings(
    bench: Bench, repo: FeastRepo, check: Check, change: tuple[str, str]
) -> None:
    """A source's path, a time to live: trap 5, Feast makes no version of these."""
    truth, runs, views, files, moments = bench.truth(), [], [], [], []
    for text in (SALES, SALES.replace(*change)):
        repo.apply(text)
        bench.collect()
        made = train(repo, ["sales:amount", "sales:items"], BOTH)
        files.append(file_of(bench, "moved" if "moved" in text else "sales"))
        views.append(repo.told(truth, "sales", files[-1], BOTH))
        runs.append(trained(bench, truth, made, views[-1], BOTH)[1])
        moments.append(datetime.now(timezone.utc))
        bench.collect()
    assert views[0] != views[1]
    session = bench.collect()
    check(session, truth)
    live = f"{repo.root}/featureView/sales"
    for model, file, moment in zip(runs, files, moments, strict=True):
        for found in (
            session.lineage.upstream(model),
            session.lineage.upstream(live, as_of=moment),
        ):
            assert {node.uri for node in found.of_kind("dataset")} == {file}


def test_a_deleted_view_is_what_it_was(bench: Bench, repo: FeastRepo, check: Check) -> None:
    repo.apply(SALES + another("moved"))
    bench.collect()
    made = train(repo, ["sales:amount"], ["amount"])
    truth = bench.truth()
    view = repo.told(truth, "sales", file_of(bench, "sales"), BOTH)
    repo.told(truth, "moved", file_of(bench, "moved"), BOTH)
    trained(bench, truth, made, view, ["amount"])
    bench.collect()
    repo.apply(SALES[: SALES.index("sales =")] + another("moved"))
    session = bench.collect()
    check(session, truth)
    own = session.lineage.store.edges("source", [view])
    assert {e.target for e in own if e.until is not None} == {f"{repo.root}/featureView/sales"}


def test_a_service_by_its_exact_features(bench: Bench, repo: FeastRepo, check: Check) -> None:
    repo.apply(SALES + SERVICES)
    made = train(repo, ["sales:amount"], ["amount"])
    truth = bench.truth()
    view = repo.told(truth, "sales", file_of(bench, "sales"), BOTH)
    basic = repo.serves(truth, "basic", {"sales": ["amount"]})
    repo.serves(truth, "whole", {"sales": BOTH})
    run, _ = trained(bench, truth, made, view, ["amount"])
    truth.edge(basic, "INPUT", run)
    check(bench.collect(), truth)


def test_a_service_that_feast_guessed_is_inferred(
    bench: Bench, repo: FeastRepo, check: Check
) -> None:
    """Feast writes the smallest service that has the features, although nobody used it."""
    repo.apply(SALES + SERVICES.partition("\n")[2].partition("\n")[2])
    made = train(repo, ["sales:amount"], ["amount"])
    assert mlflow.get_run(made[0]).data.tags["feast.feature_service"] == "whole"
    truth = bench.truth()
    view = repo.told(truth, "sales", file_of(bench, "sales"), BOTH)
    whole = repo.serves(truth, "whole", {"sales": BOTH})
    run, _ = trained(bench, truth, made, view, ["amount"])
    truth.guess(whole, "INPUT", run, right=False)
    check(bench.collect(), truth)


@pytest.mark.parametrize("kind", ["file", "sql"])
def test_columns_through_a_field_mapping(bench: Bench, check: Check, kind: str) -> None:
    registry = {"registry_type": "sql", "path": f"sqlite:///{bench.folder}/registry.db"}
    repo = bench.feast(**({"registry": registry} if kind == "sql" else {}))
    file = bench.file("repo/data/sales.parquet", {**DATA, "key": [1, 2], "sum": [1.0, 2.0]})
    mapping = ', field_mapping={"key": "id", "sum": "amount"})'
    repo.apply(SALES.replace('timestamp_field="ts")', f'timestamp_field="ts"{mapping}'))
    truth = bench.truth()
    repo.told(truth, "sales", file, BOTH, key="id", sum="amount")
    session = bench.collect()
    check(session, truth)
    found = {node.uri for node in session.lineage.impact(f"{file}#sum").of_kind("column")}
    assert found == {f"{file}#sum", f"{repo.view('sales')}#amount"}


def test_an_on_demand_view(bench: Bench, repo: FeastRepo, check: Check) -> None:
    repo.apply(
        SALES
        + """
asked = RequestSource(name="asked", schema=[Field(name="limit", dtype=Float64)])

@on_demand_feature_view(sources=[sales, asked], schema=[Field(name="over", dtype=Float64)])
def excess(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"over": inputs["amount"] - inputs["limit"]})
"""
    )
    truth = bench.truth()
    sales = repo.told(truth, "sales", file_of(bench, "sales"), BOTH)
    asked = truth.node("dataset", f"{repo.root}/dataSource/asked", "limit")
    excess = repo.defined(truth, "feature_view", "excess", "id", "over")
    truth.edge(sales, "DERIVES", excess)
    truth.edge(asked, "DERIVES", excess)
    truth.columns(sales, excess, "id")  # what the function does to the others nobody can tell
    with mlflow.start_run() as run:
        frame = retrieve(repo, ["excess:over"], limit=[0.5, 0.5])
    assert list(frame["over"]) == [0.5, 1.5]
    truth.edge(excess, "INPUT", bench.run(truth, run.info.run_id))
    check(bench.collect(), truth)


def test_a_service_that_renames_a_view_and_projects_it(
    bench: Bench, repo: FeastRepo, check: Check
) -> None:
    repo.apply(
        SALES + 'one = FeatureService(name="one", features=[sales.with_name("paid")[["amount"]]])\n'
    )
    service = repo.store.get_feature_service("one")
    with mlflow.start_run() as run:
        retrieve(repo, service)
    assert mlflow.get_run(run.info.run_id).data.tags["feast.feature_refs"] == "paid:amount"
    truth = bench.truth()
    view = repo.told(truth, "sales", file_of(bench, "sales"), BOTH)
    one = repo.defined(truth, "feature_service", "one", "paid:amount")
    truth.edge(view, "DERIVES", one)
    truth.columns(view, one, amount="paid:amount")
    reader = bench.run(truth, run.info.run_id)
    truth.edge(view, "INPUT", reader)
    truth.edge(one, "INPUT", reader)
    check(bench.collect(), truth)


def test_an_online_read_in_a_run_uses_what_was_materialised(
    bench: Bench, repo: FeastRepo, check: Check
) -> None:
    repo.apply(SALES)
    begin, end = "2023-12-31T00:00:00", "2024-01-02T00:00:00"
    repo.command("materialize", begin, end)
    bench.collect()
    with mlflow.start_run() as run:
        keys = [{"id": 1}]
        read = repo.store.get_online_features(features=["sales:amount"], entity_rows=keys)
    assert read.to_dict()["amount"] == [1.0]
    truth = bench.truth()
    view = repo.told(truth, "sales", file_of(bench, "sales"), BOTH)
    span = "--".join(f"{moment}+00:00" for moment in (begin, end))
    copy = truth.node("materialization", f"{repo.root}/materialization/sales/{span}")
    truth.edge(view, "INPUT", copy)
    reader = bench.run(truth, run.info.run_id)
    truth.edge(view, "INPUT", reader)
    truth.edge(copy, "INPUT", reader)
    check(bench.collect(), truth)


def test_the_runs_that_feast_makes_of_its_own_commands(bench: Bench, check: Check) -> None:
    integration = {"enabled": True, "tracking_uri": bench.uri, "log_operations": True}
    repo = bench.feast(mlflow=integration)
    file = bench.file("repo/data/sales.parquet", DATA)
    repo.apply(SALES)
    begin, end = "2023-12-31T00:00:00", "2024-01-02T00:00:00"
    repo.command("materialize", begin, end)
    experiment = mlflow.get_experiment_by_name("shop-feast-ops")
    runs = mlflow.MlflowClient().search_runs([experiment.experiment_id])
    assert {run.info.run_name for run in runs} == {"apply_shop", "materialize_shop"}
    truth = bench.truth()
    truth.node("experiment", bench.experiment(experiment.experiment_id))
    for run in runs:
        bench.run(truth, run.info.run_id, experiment.experiment_id)
    view = repo.told(truth, "sales", file, BOTH)
    span = "--".join(f"{moment}+00:00" for moment in (begin, end))
    copy = truth.node("materialization", f"{repo.root}/materialization/sales/{span}")
    truth.edge(view, "INPUT", copy)
    check(bench.collect(), truth)
