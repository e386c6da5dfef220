from __future__ import annotations

import shutil
import time

import pandas as pd
import pytest
import yaml
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from unified_mlops.errors import ArgumentError, NotFoundError, UnsupportedError
from unified_mlops.lineage import urn
from unified_mlops.records import Ref
from unified_mlops_mlflow import registry

EXAMPLE = pd.DataFrame({"a": [x / 10 for x in range(20)], "b": [float(x % 3) for x in range(20)]})
TARGET = [int(x > 9) for x in range(20)]


@pytest.fixture
def model():
    return LogisticRegression().fit(EXAMPLE, TARGET)


@pytest.fixture
def logged(plugin, run, model):
    return plugin.mlops_log_model(run, "modell", model, EXAMPLE)


@pytest.fixture
def version(plugin, logged, name):
    return plugin.mlops_register_model(logged, name, {"team": "blau"})


def meta(client, record):
    location = client.get_logged_model(record.ref.id).artifact_location
    return yaml.safe_load((urn.path_of(urn.canonical(location)) / "MLmodel").read_text()), location


def test_a_model_is_logged_with_its_run_and_signature_and_predicts_the_same(
    plugin, client, run, model, logged
):
    assert logged.ref.id.startswith("m-") and logged.ref.uri == f"mlflow:model/{logged.ref.id}"
    assert (logged.name, logged.run, logged.inputs) == ("modell", run.ref, ("a", "b"))
    native = plugin.mlops_get_native(logged.ref)
    assert (native.status, native.source_run_id) == ("READY", run.ref.id)
    outputs = client.get_run(run.ref.id).outputs.model_outputs
    assert [output.model_id for output in outputs] == [logged.ref.id]
    loaded = plugin.mlops_load_model(logged.ref)
    assert list(loaded.predict(EXAMPLE)) == list(model.predict(EXAMPLE))


def test_plain_mlflow_loads_what_was_logged(client, logged, model):
    import mlflow.sklearn

    loaded = mlflow.sklearn.load_model(meta(client, logged)[1])
    assert list(loaded.predict_proba(EXAMPLE)[0]) == list(model.predict_proba(EXAMPLE)[0])


def test_a_model_of_scikit_learn_types_is_kept_in_the_safe_format(plugin, client, run):
    trees = HistGradientBoostingClassifier(max_iter=3).fit(EXAMPLE, TARGET)
    record = plugin.mlops_log_model(run, "trees", trees, EXAMPLE)
    flavor = meta(client, record)[0]["flavors"]["sklearn"]
    assert flavor["serialization_format"] == "skops"
    assert all(kind.startswith("sklearn.") for kind in flavor["skops_trusted_types"])
    assert len(plugin.mlops_load_model(record.ref).predict(EXAMPLE)) == 20


def test_a_model_of_other_types_is_kept_with_cloudpickle(plugin, client, run):
    steps = make_pipeline(FunctionTransformer(lambda frame: frame * 2), LogisticRegression())
    record = plugin.mlops_log_model(run, "steps", steps.fit(EXAMPLE, TARGET), EXAMPLE)
    assert meta(client, record)[0]["flavors"]["sklearn"]["serialization_format"] == "cloudpickle"
    assert len(plugin.mlops_load_model(record.ref).predict(EXAMPLE)) == 20


def test_requirements_are_inferred_without_another_process(plugin, client, run, model):
    start = time.perf_counter()
    record = plugin.mlops_log_model(run, "schnell", model, EXAMPLE)
    assert time.perf_counter() - start < 3
    folder = urn.path_of(urn.canonical(meta(client, record)[1]))
    names = {line.partition("==")[0] for line in (folder / "requirements.txt").read_text().split()}
    assert {"mlflow", "numpy", "pandas", "scikit-learn", "skops"} <= names


def test_a_python_model_is_logged(plugin, run):
    import mlflow.pyfunc

    class Sum(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return model_input["a"] + model_input["b"]

    record = plugin.mlops_log_model(run, "summe", Sum(), EXAMPLE)
    assert record.inputs == ("a", "b")
    loaded = plugin.mlops_load_model(record.ref)
    assert list(loaded.predict(EXAMPLE)) == list(EXAMPLE["a"] + EXAMPLE["b"])


def test_what_mlflow_has_no_flavour_for_is_unsupported(plugin, client, run):
    with pytest.raises(UnsupportedError, match="'dict'") as caught:
        plugin.mlops_log_model(run, "nichts", {}, EXAMPLE)
    assert "PythonModel" in caught.value.hint


def test_a_model_that_cannot_be_stored_leaves_nothing_behind(plugin, client, run, model):
    experiment = client.get_run(run.ref.id).info.experiment_id
    with pytest.raises(ArgumentError, match="predict"):
        plugin.mlops_log_model(run, "roh", LogisticRegression(), EXAMPLE)
    with pytest.raises(ArgumentError):
        plugin.mlops_log_model(run, "a/b", model, EXAMPLE)
    model.held = (row for row in ())
    with pytest.raises(TypeError):
        plugin.mlops_log_model(run, "generator", model, EXAMPLE)
    assert not client.search_logged_models([experiment])


def test_versions_are_numbered_and_keep_labels_run_and_signature(plugin, name, logged, version):
    assert (version.name, version.version, version.labels) == (name, "1", {"team": "blau"})
    assert (version.run, version.inputs) == (logged.run, ("a", "b"))
    assert version.ref.id == f"{name}/1" and version.ref.uri.startswith("mlflow://")
    kinds = {(edge.source, edge.kind) for edge in version.edges}
    assert (logged.ref.uri, "DERIVES") in kinds
    second = plugin.mlops_register_model(logged, name, {})
    assert [each.version for each in plugin.mlops_list_models(name)] == ["1", "2"]
    assert plugin.mlops_get_model(name, "2") == second
    assert plugin.mlops_get_native(second.ref).source == f"models:/{logged.ref.id}"


def test_another_process_may_make_the_registered_model_in_between(
    plugin, client, name, logged, monkeypatch
):
    look = registry._family

    def overtaken(own, wanted):
        found = look(own, wanted)
        if found is None:
            client.create_registered_model(wanted)
        return found

    monkeypatch.setattr(registry, "_family", overtaken)
    assert plugin.mlops_register_model(logged, name, {}).version == "1"


def test_an_alias_moves_and_labels_are_added(plugin, name, logged, version):
    first = plugin.mlops_update_model(version, ["default", "champion"], {"stage": "test"})
    assert first.aliases == ("champion", "default")
    assert first.labels == {"team": "blau", "stage": "test"}
    second = plugin.mlops_register_model(logged, name, {})
    plugin.mlops_update_model(second, ["champion"], {})
    assert plugin.mlops_get_model(name, "champion").version == "2"
    assert [each.aliases for each in plugin.mlops_list_models(name)] == [
        ("default",),
        ("champion",),
    ]


@pytest.mark.parametrize("alias", ["latest", "LATEST", "v1", "V22", "a b", ""])
def test_an_alias_that_mlflow_reserves_is_refused_before_any_is_set(plugin, version, alias):
    with pytest.raises(ArgumentError, match="reserves") as caught:
        plugin.mlops_update_model(version, ["gut", alias], {})
    assert caught.value.hint
    assert plugin.mlops_get_model(version.name, "1").aliases == ()


def test_a_version_predicts_the_same(plugin, version, model):
    loaded = plugin.mlops_load_model(version.ref)
    assert list(loaded.predict(EXAMPLE)) == list(model.predict(EXAMPLE))


def test_whole_numbers_are_taken_for_doubles_and_other_types_are_not(plugin, version, model):
    loaded = plugin.mlops_load_model(version.ref)
    rows = pd.DataFrame({"a": [1, 2], "b": [0, 1]})
    assert list(loaded.predict(rows)) == list(model.predict(rows))
    with pytest.raises(Exception, match="schema"):
        loaded.predict(pd.DataFrame({"a": ["x"], "b": ["y"]}))
    assert rows["a"].dtype == "int64"


def test_missing_models_versions_and_aliases_are_not_found(plugin, name, version):
    plugin.mlops_update_model(version, ["default"], {})
    with pytest.raises(NotFoundError, match="defalt") as caught:
        plugin.mlops_get_model(name, "defalt")
    assert "'default'" in caught.value.hint
    for missing in ("2", "champion"):
        with pytest.raises(NotFoundError):
            plugin.mlops_get_model(name, missing)
    with pytest.raises(NotFoundError):
        plugin.mlops_list_models(f"{name}-nicht")
    with pytest.raises(NotFoundError):
        plugin.mlops_load_model(Ref("mlflow", "model", "m-" + "0" * 32, "mlflow:model/m-0"))
    with pytest.raises(NotFoundError):
        plugin.mlops_load_model(Ref("mlflow", "model_version", f"{name}/9", "mlflow://x/y"))


def test_a_model_whose_files_are_gone_is_not_found(plugin, client, logged):
    shutil.rmtree(urn.path_of(urn.canonical(meta(client, logged)[1])))
    with pytest.raises(NotFoundError, match="gone"):
        plugin.mlops_load_model(logged.ref)


def test_a_model_registered_with_plain_mlflow_is_found(plugin, client, name, logged):
    client.create_registered_model(name)
    client.create_model_version(name, meta(client, logged)[1], logged.run.id)
    client.set_registered_model_alias(name, "default", "1")
    found = plugin.mlops_get_model(name, "default")
    assert (found.version, found.inputs, found.run) == ("1", ("a", "b"), logged.run)
