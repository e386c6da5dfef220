"""The tags that Feast writes on MLflow's runs, in the form that Feast 0.67 gives them."""

from __future__ import annotations

import json

import pytest

from unified_mlops.lineage import urn
from unified_mlops.records import Claim
from unified_mlops_mlflow.convert import run_uri

PROJECT = {"feast.project": "flights", "feast.retrieval_type": "historical"}


@pytest.fixture
def make(client, name):
    """Make a run that Feast retrieved features in."""
    experiment = client.create_experiment(name)

    def run(references, *, cut=0, times=(1,), entity="id,event_timestamp,y", views=None, **more):
        text = ",".join(references)
        text = text[:cut] + "..." if cut else text
        tags = {
            **PROJECT,
            "feast.feature_refs": text,
            "feast.feature_count": str(len(references)),
            "feast.feature_views": ",".join(views or sorted({r.split(":")[0] for r in references})),
            "feast.entity_df_columns": entity,
            **{f"feast.{key}": value for key, value in more.items()},
        }
        found = client.create_run(experiment, start_time=1000, tags=tags).info.run_id
        for seconds in times:
            client.log_metric(found, "feast.job_submission_sec", 0.1, timestamp=seconds * 1000)
        return found

    return run


@pytest.fixture
def seen(plugin):
    def look(run_id):
        found = {each.key: each for each in plugin.mlops_collect_lineage(None).observations}
        return found[f"run/{run_id}"]

    return look


def phantom(client, run_id, columns):
    """What `store.mlflow.log_training_dataset` logs."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    schema = json.dumps({"mlflow_colspec": [{"name": each, "type": "double"} for each in columns]})
    source = json.dumps({"uri": "feast.get_historical_features"})
    dataset = Dataset("feast_training_data", "12", "local", source, schema)
    client.log_inputs(
        run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])]
    )


def names(observation, rule):
    return [claim.name for claim in observation.claims if claim.rule == rule]


def test_references_are_claims_on_views_as_of_the_retrieval(make, seen):
    run_id = make(["weather:wind", "carrier:delay"], times=(77,), feature_service="guessed")
    claims = seen(run_id).claims
    at = {"thing": run_uri(run_id), "at": 77.0}
    assert Claim("feast:flights/weather", "INPUT", rule="feast-references", **at) in claims
    assert Claim("feast:flights/carrier", "INPUT", rule="feast-references", **at) in claims
    assert Claim("feast-service:flights/guessed", "INPUT", rule="feast-service-tag", **at) in claims
    features = urn.feature_set(["carrier:delay", "weather:wind"])
    assert Claim(features, "INPUT", rule="service-by-features", **at) in claims
    assert seen(run_id).unresolved == ()


def test_an_online_read_also_claims_the_materialisation(make, seen):
    told = seen(make(["weather:wind"], retrieval_type="online"))
    assert names(told, "materialisation-window") == ["feast-online:flights/weather"]


def test_a_cut_list_loses_its_half_reference_and_its_service_and_says_so(make, seen):
    run_id = make(["weather:wind", "weather:temperature"], cut=20, entity="")
    told = seen(run_id)
    assert names(told, "feast-references") == ["feast:flights/weather"]
    assert names(told, "service-by-features") == []
    assert "1 of 2 feature references" in told.unresolved[0]


@pytest.mark.parametrize("full", [False, True])
def test_a_cut_list_is_completed_from_the_columns_of_the_training_frame(client, make, seen, full):
    """Sure only where the columns give exactly as many references as Feast counted."""
    references = [f"weather:f{n}" for n in range(250)]
    run_id = make(references, cut=1000)
    columns = [each.replace(":", "__") if full else each.split(":")[1] for each in references]
    phantom(client, run_id, ["id", "event_timestamp", *columns, "y"])
    told = seen(run_id)
    assert names(told, "service-by-features") == [urn.feature_set(references)]
    assert told.unresolved == ()


def test_columns_that_do_not_add_up_complete_nothing(client, make, seen):
    references = [f"weather:f{n}" for n in range(250)]
    run_id = make(references, cut=1000)
    phantom(client, run_id, ["id", *(f"f{n}" for n in range(249))])
    told = seen(run_id)
    assert names(told, "service-by-features") == []
    assert "of 250 feature references" in told.unresolved[0]


def test_overwritten_references_are_said_and_those_kept_with_the_model_are_read(
    client, make, seen, tmp_path
):
    run_id = make(["weather:wind"], times=(10, 20))
    (tmp_path / "feast_features.json").write_text(json.dumps(["carrier:delay"]))
    client.log_artifact(run_id, str(tmp_path / "feast_features.json"))
    told = seen(run_id)
    at = {claim.name: claim.at for claim in told.claims if claim.rule == "feast-references"}
    assert at == {"feast:flights/carrier": 10.0, "feast:flights/weather": 20.0}
    assert "the last of 2 retrievals" in told.unresolved[0]


def test_features_are_claimed_for_the_columns_of_the_model(plugin, make, seen, client):
    import pandas as pd
    from sklearn.linear_model import LinearRegression

    from unified_mlops.records import RunRecord
    from unified_mlops_mlflow.convert import run_ref

    run_id = make(["weather:wind", "a:twin", "b:twin"])
    frame = pd.DataFrame({"wind": [1.0, 2.0], "a__twin": [1.0, 2.0], "twin": [0.0, 1.0]})
    record = RunRecord(ref=run_ref(run_id), name="r", experiment="e", state="RUNNING")
    model = plugin.mlops_log_model(record, "m", LinearRegression().fit(frame, [1, 2]), frame)
    found = {c.thing: (c.name, c.field) for c in seen(run_id).claims if c.kind == "DERIVES"}
    assert found == {
        f"{model.ref.uri}#wind": ("feast:flights/weather", "wind"),
        f"{model.ref.uri}#a__twin": ("feast:flights/a", "twin"),
    }


def test_a_retrieved_frame_without_references_is_said_and_is_no_dataset(client, name, seen):
    run_id = client.create_run(client.create_experiment(name)).info.run_id
    phantom(client, run_id, ["wind"])
    told = seen(run_id)
    assert "Feast retrieved it" in told.unresolved[0]
    assert {node.kind for node in told.nodes} == {"run"}


def test_a_run_that_feast_never_touched_costs_no_further_query(fresh, monkeypatch):
    from mlflow import MlflowClient

    def asked(*_):
        raise AssertionError("more was read than the run")

    run = fresh.mlops_create_run("e", "r", None, {})
    monkeypatch.setattr(MlflowClient, "list_artifacts", asked)
    monkeypatch.setattr(MlflowClient, "get_metric_history", asked)
    assert run.ref.uri in repr(fresh.mlops_collect_lineage(None).observations)
