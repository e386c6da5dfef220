from __future__ import annotations

import json
from urllib.parse import quote

import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from unified_mlops.lineage import urn
from unified_mlops.records import Edge
from unified_mlops_mlflow import datasets
from unified_mlops_mlflow.plugin import MlflowPlugin

FRAME = pd.DataFrame({"a": [1.0, 2.0], "b": [1.0, 2.0]})


def observed(plugin, run, cursor=None):
    return seen(plugin, cursor)[f"run/{run.ref.id}"]


def seen(plugin, cursor=None):
    return {each.key: each for each in plugin.mlops_collect_lineage(cursor).observations}


def native_input(client, run_id, source_type, source, name="natively", **tags):
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(name, "1234", source_type, json.dumps(source))
    labels = [InputTag(key, value) for key, value in tags.items()]
    client.log_inputs(run_id, [DatasetInput(dataset, labels)])


def test_a_workspace_without_a_store_gives_nothing_and_stays_empty(tmp_path):
    collection = MlflowPlugin(tmp_path).mlops_collect_lineage(None)
    assert (collection.observations, collection.cursor) == ((), None)
    assert list(tmp_path.iterdir()) == []


def test_a_run_stands_under_its_experiment_and_its_parent(plugin, name, run):
    child = plugin.mlops_create_run(name, "kind", run, {"unified_mlops.parent_task": "kfp://h/t"})
    plugin.mlops_log_params(child, {"n": 3})
    told = observed(plugin, child)
    parents = {edge.source for edge in told.edges if edge.kind == "PARENT_OF"}
    assert {run.ref.uri, "kfp://h/t"} < parents and len(parents) == 3
    node = next(node for node in told.nodes if node.uri == child.ref.uri)
    assert (node.kind, node.name) == ("run", "kind")
    assert node.attributes == {"state": "RUNNING", "param.n": 3}
    assert node.time == child.start_time.timestamp()
    experiments = [
        node
        for each in plugin.mlops_collect_lineage(None).observations
        for node in each.nodes
        if node.kind == "experiment"
    ]
    assert {node.uri for node in experiments if node.name == name} < parents


def test_data_is_followed_from_source_columns_to_the_model_version(plugin, name, run, dataset):
    weather = "file:///data/weather.parquet"
    made = dataset(columns={"a": (urn.column(weather, "wind"),), "b": ()})
    plugin.mlops_log_input(run, made, "training")
    model = plugin.mlops_log_model(run, "m", LinearRegression().fit(FRAME, [1, 2]), FRAME)
    version = plugin.mlops_register_model(model, name, {})
    plugin.mlops_update_model(version, ["default"], {})
    found, uri, rule = seen(plugin), made.ref.uri, "signature-column"
    assert {
        Edge(uri, "INPUT", run.ref.uri),
        Edge(uri, "FIELD", f"{uri}#a"),
        Edge(f"{weather}#wind", "DERIVES", f"{uri}#a"),
        Edge(weather, "DERIVES", uri),
        Edge(run.ref.uri, "OUTPUT", model.ref.uri),
        Edge(f"{uri}#a", "DERIVES", f"{model.ref.uri}#a", "derived", rule),
        Edge(f"{uri}#b", "DERIVES", f"{model.ref.uri}#b", "derived", rule),
    } <= set(found[f"run/{run.ref.id}"].edges)
    logged, registered = found[f"model/{model.ref.id}"], found[version.ref.uri]
    assert Edge(model.ref.uri, "FIELD", f"{model.ref.uri}#b") in logged.edges
    assert {
        *version.edges,
        Edge(version.ref.uri, "FIELD", f"{version.ref.uri}#b"),
        Edge(f"{model.ref.uri}#b", "DERIVES", f"{version.ref.uri}#b", "derived", rule),
    } <= set(registered.edges)
    assert registered.nodes[0].attributes == {}
    assert found[version.edges[0].source].nodes[0].kind == "registered_model"


def test_the_same_frame_from_two_sources_keeps_both_uris(plugin, client, name, dataset):
    sources = [dataset("x/frame.parquet"), dataset("y/frame.parquet")]
    runs = [plugin.mlops_create_run(name, f"r{number}", None, {}) for number in range(2)]
    for run, source in zip(runs, sources, strict=True):
        plugin.mlops_log_input(run, source, "training")
    natives = [client.get_run(run.ref.id).inputs.dataset_inputs[0].dataset for run in runs]
    assert natives[0].digest == natives[1].digest
    for run, source in zip(runs, sources, strict=True):
        told = observed(plugin, run)
        read = [edge.source for edge in told.edges if edge.kind == "INPUT"]
        assert read == [source.ref.uri]


def test_one_run_may_read_a_frame_twice_and_for_two_purposes(plugin, client, run, dataset):
    here, there = dataset("x/frame.parquet"), dataset("y/frame.parquet")
    for made, context in ((here, "training"), (here, "training"), (here, "test"), (there, "test")):
        plugin.mlops_log_input(run, made, context)
    read = [(item.uri, item.context) for item in datasets.read_inputs(client.get_run(run.ref.id))]
    assert sorted(read) == sorted(
        [(here.ref.uri, "training"), (here.ref.uri, "test"), (there.ref.uri, "test")]
    )


def test_columns_come_from_training_inputs_only_where_there_are_any(plugin, run, dataset):
    trained, tested = dataset("x/frame.parquet"), dataset("y/frame.parquet")
    plugin.mlops_log_input(run, trained, "training")
    plugin.mlops_log_input(run, tested, "evaluation")
    plugin.mlops_log_model(run, "m", LinearRegression().fit(FRAME, [1, 2]), FRAME)
    derived = [edge.source for edge in observed(plugin, run).edges if edge.level == "derived"]
    assert sorted(derived) == [f"{trained.ref.uri}#a", f"{trained.ref.uri}#b"]


def test_plain_mlflow_sees_name_source_schema_and_context_of_an_input(plugin, client, run, dataset):
    import mlflow.data

    made = dataset()
    plugin.mlops_log_input(run, made, "training")
    item = client.get_run(run.ref.id).inputs.dataset_inputs[0]
    assert {tag.key: tag.value for tag in item.tags}["mlflow.data.context"] == "training"
    columns = json.loads(item.dataset.schema)["mlflow_colspec"]
    assert [(each["name"], each["type"]) for each in columns] == [("a", "double"), ("b", "long")]
    assert json.loads(item.dataset.profile)["num_rows"] == 2
    assert pd.read_parquet(mlflow.data.get_source(item.dataset).load()).shape == (2, 2)


def test_hundreds_of_column_derivations_come_back(plugin, client, run, dataset):
    names = {f"c{n}": (f"file:///data/{'x' * 80}.parquet#c{n}",) for n in range(300)}
    made = dataset(columns=names)
    plugin.mlops_log_input(run, made, "training")
    native = client.get_run(run.ref.id)
    assert datasets.read_columns(native, made.name, made.ref.uri) == {
        name: list(sources) for name, sources in names.items()
    }
    assert max(map(len, native.data.tags.values())) <= 5000
    assert not any("columns" in tag for tag in plugin.mlops_get_run(run.experiment, "lauf").tags)


def test_what_plain_mlflow_recorded_is_followed_too(plugin, client, name, tmp_path):
    import mlflow
    from mlflow.data.pandas_dataset import from_pandas

    path = tmp_path / "nativ.parquet"
    FRAME.to_parquet(path)
    run_id = client.create_run(client.create_experiment(name), run_name="nativ").info.run_id
    frame = from_pandas(FRAME, source=str(path), name="nativ")
    entity = frame._to_mlflow_entity()
    client.log_inputs(run_id, [mlflow.entities.DatasetInput(entity, [])])
    told = observed(plugin, plugin.mlops_get_run(name, "nativ"))
    assert Edge(urn.canonical(path), "INPUT", f"mlflow:run/{run_id}") in told.edges
    assert Edge(urn.canonical(path), "FIELD", f"{urn.canonical(path)}#a") in told.edges


@pytest.mark.parametrize(
    ("source_type", "source"),
    [("code", {"tags": {}}), ("local", {"uri": "data/x.csv"}), ("hugging_face", {"path": "squad"})],
)
def test_a_source_that_cannot_be_placed_is_listed_and_never_guessed(
    plugin, client, name, source_type, source
):
    run_id = client.create_run(client.create_experiment(name)).info.run_id
    native_input(client, run_id, source_type, source)
    told = seen(plugin)[f"run/{run_id}"]
    assert len(told.unresolved) == 1 and "'natively'" in told.unresolved[0]
    assert not [edge for edge in told.edges if edge.kind == "INPUT"]


def test_a_relative_path_starts_from_the_folder_that_the_run_recorded(plugin, client, name):
    tags = {"unified_mlops.cwd": "/data/work"}
    run_id = client.create_run(client.create_experiment(name), tags=tags).info.run_id
    native_input(client, run_id, "local", {"uri": "raw/x.csv"})
    native_input(client, run_id, "hugging_face", {"path": "squad"}, name="hub")
    told = seen(plugin)[f"run/{run_id}"]
    read = [edge.source for edge in told.edges if edge.kind == "INPUT"]
    assert read == ["file:///data/work/raw/x.csv"]
    assert "'hub'" in told.unresolved[0]


def test_credentials_of_a_native_source_are_not_kept(plugin, client, run):
    native_input(client, run.ref.id, "sql", {"uri": "postgresql://me:secret@host/db"})
    told = observed(plugin, run)
    assert "secret" not in repr(told)
    assert Edge("postgresql://host:5432/db", "INPUT", run.ref.uri) in told.edges


def test_outputs_that_a_run_declares_in_tags_are_its_outputs(plugin, name, tmp_path):
    tags = {
        "unified_mlops.cwd": "",
        "unified_mlops.output.0": str(tmp_path / "out.parquet"),
        "unified_mlops.output.1": "relative.parquet",
    }
    run = plugin.mlops_create_run(name, "schreibt", None, tags)
    told = observed(plugin, run)
    assert Edge(run.ref.uri, "OUTPUT", urn.canonical(tmp_path / "out.parquet")) in told.edges
    assert len(told.unresolved) == 1


def test_versions_made_from_runs_and_copies_and_unknown_files_are_placed(plugin, client, name, run):
    client.create_registered_model(name)
    client.create_model_version(name, f"runs:/{run.ref.id}/model", run.ref.id)
    client.create_model_version(name, "s3://bucket/model")
    client.copy_model_version(f"models:/{name}/1", f"{name}-copy")
    found = seen(plugin)
    told = {key.rpartition("/registered/")[2]: each for key, each in found.items()}
    quoted = quote(name)
    first = told[f"{quoted}/1"]
    assert Edge(run.ref.uri, "OUTPUT", first.nodes[0].uri) in first.edges
    assert "s3://bucket/model" in told[f"{quoted}/2"].unresolved[0]
    copy = told[f"{quoted}-copy/1"]
    assert Edge(first.nodes[0].uri, "DERIVES", copy.nodes[0].uri) in copy.edges


def test_a_second_collection_reads_what_changed_and_repeats_it_unchanged(
    plugin, client, name, monkeypatch
):
    old = client.create_run(client.create_experiment(name), start_time=1000, run_name="alt")
    client.set_terminated(old.info.run_id, end_time=2000)
    late = client.create_run(client.get_experiment_by_name(name).experiment_id, start_time=1000)
    client.set_terminated(late.info.run_id, end_time=2000)
    first = plugin.mlops_collect_lineage(None)
    running = plugin.mlops_create_run(name, "neu", None, {})
    modelled = plugin.mlops_get_run(name, late.info.run_name)
    plugin.mlops_log_model(modelled, "m", LinearRegression().fit(FRAME, [1, 2]), FRAME)
    second = plugin.mlops_collect_lineage(first.cursor)
    keys = {each.key for each in second.observations}
    assert {f"run/{running.ref.id}", f"run/{late.info.run_id}"} <= keys
    assert f"run/{old.info.run_id}" not in keys
    again = {each.key: each for each in plugin.mlops_collect_lineage(None).observations}
    assert all(again[each.key] == each for each in second.observations)
    assert {each.key for each in first.observations} <= set(again)


def test_deleted_runs_and_experiments_still_happened(plugin, client, name, run):
    client.delete_run(run.ref.id)
    client.delete_experiment(client.get_experiment_by_name(name).experiment_id)
    assert observed(plugin, run).nodes[0].name == "lauf"
