"""Where MLflow's own record misleads: first what it says, then that the graph is right.

Each shows the defect on the real tool, so that its mending upstream is noticed.
"""

from __future__ import annotations

import json
import time
from types import SimpleNamespace
from urllib.parse import quote

import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from unified_mlops.lineage import urn
from unified_mlops.lineage.names import look_up, meanings
from unified_mlops.records import Claim, Edge
from unified_mlops_mlflow.convert import model_uri, registered_uri, run_uri

SECRET = "geheimnis"


def told(plugin, cursor=None):
    return {each.key: each for each in plugin.mlops_collect_lineage(cursor).observations}


def train(native, frame, source, **tags):
    """A native run that was trained on a frame from a file."""
    with native.start_run() as run:
        dataset = native.data.from_pandas(frame, source=str(source), name="frame")
        native.log_input(dataset, context="training", tags=tags or None)
    return run.info.run_id


def shown(native, run_id):
    (item,) = native.get_run(run_id).inputs.dataset_inputs
    return json.loads(item.dataset.source)["uri"]


def read(plugin, run_id):
    seen = told(plugin)[f"run/{run_id}"]
    return [edge.source for edge in seen.edges if edge.kind == "INPUT"]


def test_trap_01_equal_frames_of_two_files_are_told_apart_by_the_input_tag(native, fresh, tmp_path):
    frame = pd.DataFrame({"a": [1.0, 2.0]})
    files = [tmp_path / "first.csv", tmp_path / "second.csv"]
    naive = [train(native, frame, file) for file in files]
    assert {shown(native, run_id) for run_id in naive} == {str(files[0])}
    runs = [train(native, frame, file, **{"unified_mlops.uri": str(file)}) for file in files]
    assert {shown(native, run_id) for run_id in runs} == {str(files[0])}
    assert [read(fresh, run_id) for run_id in runs] == [[urn.canonical(file)] for file in files]


def test_trap_02_frames_that_mlflows_digest_cannot_tell_apart_are_told_apart(
    native, fresh, tmp_path
):
    """Its digest reads 10,000 rows and no timestamps."""
    rows = pd.DataFrame({"a": range(10_001)})
    other = rows.copy()
    other.loc[10_000, "a"] = -1
    times = pd.DataFrame({"a": [1.0], "t": [pd.Timestamp("2013-01-01")]})
    later = pd.DataFrame({"a": [1.0], "t": [pd.Timestamp("2026-01-01")]})
    for pair in ((rows, other), (times, later)):
        digests = {native.data.from_pandas(each, source="x.csv").digest for each in pair}
        assert len(digests) == 1
        files = [tmp_path / f"{next(iter(digests))}-{n}.csv" for n in range(2)]
        runs = [
            train(native, frame, file, **{"unified_mlops.uri": str(file)})
            for frame, file in zip(pair, files, strict=True)
        ]
        assert {shown(native, run_id) for run_id in runs} == {str(files[0])}
        assert [read(fresh, run_id) for run_id in runs] == [[urn.canonical(file)] for file in files]


@pytest.fixture
def feast_client(native, fresh, tmp_path):
    """Feast's own MLflow integration on the same store."""
    feast = pytest.importorskip("feast")
    config = feast.RepoConfig(
        project="flights",
        provider="local",
        registry=str(tmp_path / "registry.db"),
        online_store={"type": "sqlite", "path": str(tmp_path / "online.db")},
        entity_key_serialization_version=3,
        mlflow={"enabled": True, "tracking_uri": fresh._store.uri},
    )
    return feast.FeatureStore(config=config).mlflow


def test_trap_03_04_the_phantom_file_of_feast_is_joined_with_the_views_it_came_from(
    native, fresh, feast_client
):
    """Feast logs a file that never was, keeps the last retrieval only, and cuts its references."""
    names = [f"a_feature_with_a_long_name_of_its_own_{n:03}" for n in range(250)]
    references = [f"weather:{name}" for name in names]
    frame = pd.DataFrame({"id": [1, 2], **{name: [1.0, 2.0] for name in names}})
    with native.start_run() as run:
        feast_client.log_feature_retrieval(["carrier:delay"], 2, 0.1)
        feast_client.log_feature_retrieval(references, 2, 0.1)
        feast_client.log_entity_df_metadata(frame[["id"]])
        feast_client.log_training_dataset(frame)
    tags = native.get_run(run.info.run_id).data.tags
    assert shown(native, run.info.run_id) == "feast.get_historical_features"
    assert "carrier" not in repr(tags)
    assert tags["feast.feature_refs"].endswith("...")
    assert len(tags["feast.feature_refs"].split(",")) < 150
    seen = told(fresh)[f"run/{run.info.run_id}"]
    assert "get_historical_features" not in repr(seen)
    assert {node.kind for node in seen.nodes} == {"run"}
    claims = {claim.name: claim for claim in seen.claims}
    assert claims.keys() == {"feast:flights/weather", urn.feature_set(references)}
    assert run.info.start_time / 1000 <= claims["feast:flights/weather"].at <= time.time()
    assert "the last of 2 retrievals" in "".join(seen.unresolved)


def test_trap_10_a_version_finds_its_model_although_mlflow_leaves_model_id_empty(native, fresh):
    frame = pd.DataFrame({"a": [1.0, 2.0]})
    keywords = {"input_example": frame, "pip_requirements": ["scikit-learn"]}
    model = LinearRegression().fit(frame, [1, 2])
    info = native.sklearn.log_model(model, name="m", registered_model_name="delay", **keywords)
    assert native.MlflowClient().get_model_version("delay", "1").model_id is None
    with fresh._store.read() as client:
        uri = registered_uri(fresh._store.instance(client), "delay", "1")
    assert Edge(model_uri(info.model_id), "DERIVES", uri) in told(fresh)[uri].edges


def test_trap_10_an_alias_is_timed_although_mlflow_gives_its_change_no_time(native, fresh):
    client = native.MlflowClient()
    client.create_registered_model("delay")
    made = [client.create_model_version("delay", "s3://b/m").creation_timestamp for _ in range(2)]
    graph = Names(fresh)
    client.set_registered_model_alias("delay", "prod", "1")
    before = client.get_registered_model("delay").last_updated_timestamp
    graph.look()
    between = time.time()
    graph.look()
    client.set_registered_model_alias("delay", "prod", "2")
    after_move = time.time()
    assert client.get_registered_model("delay").last_updated_timestamp == before
    graph.look()
    settled = time.time()
    client.delete_registered_model_alias("delay", "prod")
    graph.look()
    assert graph.meant("models:/delay@prod", made[0] / 1000 - 1) == []
    assert graph.meant("models:/delay@prod", between) == ["1"]
    assert graph.meant("models:/delay@prod", after_move) == ["1", "2"], "between two looks: both"
    assert graph.meant("models:/delay@prod", settled) == ["2"]
    assert graph.meant("models:/delay@prod", time.time()) == []


def test_trap_10_before_the_first_look_an_alias_may_have_meant_any_version_there_was(native, fresh):
    client = native.MlflowClient()
    client.create_registered_model("delay")
    moments = []
    for number in ("1", "2"):
        client.create_model_version("delay", "s3://b/m")
        client.set_registered_model_alias("delay", "prod", number)
        time.sleep(0.01)
        moments.append(time.time())
        time.sleep(0.01)
    graph = Names(fresh)
    graph.look()
    assert graph.meant("models:/delay@prod", moments[0]) == ["1"]
    assert graph.meant("models:/delay@prod", moments[1]) == ["1", "2"]
    assert graph.meant("models:/delay@prod", time.time()) == ["2"]


class Names:
    """What the collector has told of names, look by look."""

    def __init__(self, plugin):
        self.plugin, self.cursor, self.aliases = plugin, None, []

    def look(self):
        found = self.plugin.mlops_collect_lineage(self.cursor)
        self.cursor = found.cursor
        self.aliases += [alias for each in found.observations for alias in each.aliases]

    def meant(self, name, at):
        own = [alias for alias in self.aliases if alias.name == name]
        claim = Claim(name, "INPUT", "mlflow:run/x", "model-text", at)
        return sorted(uri.rpartition("/")[2] for uri in look_up(claim, list(meanings(own))))


def test_trap_15_no_secret_of_a_native_store_gets_through(native, fresh, tmp_path):
    place = f"postgresql://me:{SECRET}@host/db?password={SECRET}"
    params = {
        "db_password": SECRET,
        "hf_token": SECRET,
        "client-secret": SECRET,
        "api_key": SECRET,
        "aws_secret_access_key": SECRET,
        "a_uri": place,
        "a_dsn": f"host=h user=me password={SECRET}",
        "a_sas": f"https://a.blob.core.windows.net/c/k?sv=1&sig={SECRET}",
        "a_json": json.dumps({"password": SECRET, "n": 1}),
        "depth": 3,
    }
    tags = {
        "unified_mlops.output.0": f"s3://k:{SECRET}@bucket/x",
        "unified_mlops.output.1": f"rel/x?token={SECRET}",
        "unified_mlops.parent_task": f"kfp://me:{SECRET}@host/runs/1/t",
        "note": SECRET,
    }
    native.create_experiment(f"at {place}")
    with native.start_run(run_name=f"on {place}", tags=tags) as run:
        native.log_params(params)
        for number, source in enumerate(
            (
                {"uri": place},
                {"uri": f"jdbc:postgresql://host/db?user=me&password={SECRET}"},
                {"uri": f"wasbs://c@acct.blob.core.windows.net/k?sig={SECRET}"},
                {"uri": f"Server=h;Password={SECRET}"},
                {"sql": f"select '{SECRET}'"},
            )
        ):
            log_raw(native, run.info.run_id, f"d{number} {place}", source)
    client = native.MlflowClient()
    client.create_registered_model("delay")
    client.create_model_version("delay", f"s3://k:{SECRET}@bucket/model")
    assert SECRET in repr(native.get_run(run.info.run_id).inputs)
    collection = fresh.mlops_collect_lineage(None)
    leaks = [each for each in collection.observations if SECRET in repr(each)]
    assert leaks == []
    assert SECRET not in collection.cursor
    seen = {each.key: each for each in collection.observations}[f"run/{run.info.run_id}"]
    assert seen.nodes[0].attributes["param.depth"] == "3"
    read = {edge.source for edge in seen.edges if edge.kind == "INPUT"}
    assert "postgresql://host:5432/db" in read
    assert Edge(run_uri(run.info.run_id), "OUTPUT", "s3://bucket/x") in seen.edges


def log_raw(native, run_id, name, source):
    from mlflow.entities import Dataset, DatasetInput

    dataset = Dataset(name, "1", "local", json.dumps(source))
    native.MlflowClient().log_inputs(run_id, [DatasetInput(dataset, [])])


def test_the_same_store_over_http_and_from_its_file_gives_the_same_graph(
    native, server, fresh, tmp_path
):
    from mlflow.entities import LoggedModelInput

    from unified_mlops_mlflow.plugin import MlflowPlugin

    frame = pd.DataFrame({"a": [1.0, 2.0]})
    keywords = {"input_example": frame, "pip_requirements": ["scikit-learn"]}
    client = native.MlflowClient()
    with native.start_run() as run:
        model = LinearRegression().fit(frame, [1, 2])
        info = native.sklearn.log_model(model, name="m", registered_model_name="größe", **keywords)
        client.log_inputs(run.info.run_id, models=[LoggedModelInput(info.model_id)])
        native.trace(lambda: 1)()
    native.flush_trace_async_logging()
    client.set_registered_model_alias("größe", "prod", "1")
    remote = MlflowPlugin(tmp_path / "remote", tracking_uri=server)
    here, there = told(fresh), told(remote)
    assert timeless(here) == timeless(there)
    assert any(quote("größe") in key for key in here) and any("trace/" in key for key in here)


def timeless(found):
    """What two looks at one moment must tell alike: when an alias was seen differs."""
    return {
        key: SimpleNamespace(
            told=(each.nodes, set(each.edges), each.claims, each.unresolved, each.time),
            names=[(alias.name, alias.uri, alias.after, alias.fields) for alias in each.aliases],
        )
        for key, each in found.items()
    }
