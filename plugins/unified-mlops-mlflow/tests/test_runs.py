from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from unified_mlops.errors import (
    AlreadyExistsError,
    ArgumentError,
    ArgumentTypeError,
    NotFoundError,
)
from unified_mlops.records import Metric
from unified_mlops_mlflow import runs
from unified_mlops_mlflow.plugin import MlflowPlugin
from unified_mlops_mlflow.store import Store


def test_a_run_is_created_running_with_its_tags_and_those_of_plain_mlflow(plugin, name):
    run = plugin.mlops_create_run(name, "erster", None, {"team": "blau"})
    assert (run.name, run.experiment, run.state, run.parent) == ("erster", name, "RUNNING", None)
    assert run.tags["team"] == "blau"
    assert run.tags["mlflow.user"] and run.tags["mlflow.source.name"]
    assert run.ref.uri == f"mlflow:run/{run.ref.id}"
    assert run.start_time.tzinfo is not None and run.end_time is None
    assert plugin.mlops_get_run(name, "erster") == run


def test_a_run_name_is_unique_in_its_experiment_only(plugin, name, run):
    with pytest.raises(AlreadyExistsError, match="'lauf'") as caught:
        plugin.mlops_create_run(name, "lauf", None, {})
    assert caught.value.hint
    assert len(plugin.mlops_list_runs(name)) == 1
    assert plugin.mlops_create_run(f"{name}-2", "lauf", None, {}).ref != run.ref


@pytest.mark.parametrize("odd", ["it's", 'a "quoted" one', "both ' and \"", "50 % \\ / ü"])
def test_run_names_may_hold_any_character(plugin, name, odd):
    run = plugin.mlops_create_run(name, odd, None, {})
    assert plugin.mlops_get_run(name, odd) == run
    with pytest.raises(AlreadyExistsError):
        plugin.mlops_create_run(name, odd, None, {})


def test_a_child_names_its_parent_and_is_a_child_in_mlflow_too(plugin, client, name, run):
    child = plugin.mlops_create_run(name, "kind", run, {})
    assert child.parent == "lauf"
    assert {(edge.source, edge.kind) for edge in child.edges} >= {(run.ref.uri, "PARENT_OF")}
    assert client.get_parent_run(child.ref.id).info.run_id == run.ref.id
    assert [each.parent for each in plugin.mlops_list_runs(name)] == [None, "lauf"]


def test_the_name_of_a_deleted_experiment_is_free_and_its_runs_stay_deleted(plugin, client, name):
    old = plugin.mlops_create_run(name, "lauf", None, {})
    client.delete_experiment(client.get_experiment_by_name(name).experiment_id)
    with pytest.raises(NotFoundError):
        plugin.mlops_get_run(name, "lauf")
    new = plugin.mlops_create_run(name, "lauf", None, {})
    assert new.ref != old.ref
    assert [run.ref for run in plugin.mlops_list_runs(name)] == [new.ref]
    assert client.get_run(old.ref.id).info.lifecycle_stage == "deleted"


@pytest.mark.parametrize("state", ["NEW", "RUNNING", "COMPLETE", "FAILED", "CACHED", "CANCELLED"])
def test_every_state_comes_back(plugin, run, state):
    updated = plugin.mlops_update_run(run, state, {"why": "test"})
    assert (updated.state, updated.tags["why"]) == (state, "test")
    assert (updated.end_time is None) == (state in {"NEW", "RUNNING"})
    assert plugin.mlops_get_run(run.experiment, run.name) == updated


def test_a_cached_run_that_is_reopened_can_be_complete(plugin, run):
    for state in ("CACHED", "RUNNING", "COMPLETE"):
        assert plugin.mlops_update_run(run, state, {}).state == state


def test_mlflow_states_are_read_with_vertex_names(plugin, client, name, run):
    for status, state in {"FINISHED": "COMPLETE", "KILLED": "CANCELLED"}.items():
        client.set_terminated(run.ref.id, status)
        assert plugin.mlops_get_run(name, "lauf").state == state
    with pytest.raises(ArgumentError, match="DONE"):
        plugin.mlops_update_run(run, "DONE", {})


def test_params_come_back_with_their_types_and_stand_in_mlflow_as_texts(plugin, client, name, run):
    params = {"n": 3, "rate": 0.1, "whole": 3.0, "text": "x", "looks like": "3", "inf": "inf"}
    plugin.mlops_log_params(run, params)
    read = plugin.mlops_get_run(name, "lauf").params
    assert read == params
    assert {key: type(value) for key, value in read.items()} == {
        key: type(value) for key, value in params.items()
    }
    assert client.get_run(run.ref.id).data.params["rate"] == "0.1"


def test_a_param_is_overwritten_also_back_to_its_first_value(plugin, client, name, run):
    for value in (1, 2.5, "zwei", 1):
        plugin.mlops_log_params(run, {"p": value, "q": 0})
        read = plugin.mlops_get_run(name, "lauf").params
        assert read == {"p": value, "q": 0} and type(read["p"]) is type(value)
    data = client.get_run(run.ref.id).data
    assert data.params["p"] == "1" and data.tags["unified_mlops.param.p"] == "1"


def test_more_params_than_mlflow_takes_at_once_are_logged(plugin, name, run):
    params = {f"p{number}": number for number in range(250)}
    plugin.mlops_log_params(run, params)
    assert plugin.mlops_get_run(name, "lauf").params == params


def test_a_value_that_mlflow_would_cut_is_refused(plugin, name, run):
    with pytest.raises(ArgumentError, match="6000"):
        plugin.mlops_log_params(run, {"ok": 1, "long": "x" * 6001})
    assert plugin.mlops_get_run(name, "lauf").params == {}


def test_a_run_of_plain_mlflow_is_read_with_texts(plugin, client, name):
    experiment = client.create_experiment(name)
    run_id = client.create_run(experiment, run_name="fremd").info.run_id
    client.log_param(run_id, "n", 3)
    client.log_metric(run_id, "loss", 0.5, step=2)
    run = plugin.mlops_get_run(name, "fremd")
    assert (run.params, run.metrics) == ({"n": "3"}, {"loss": 0.5})
    plugin.mlops_log_params(run, {"n": 4, "m": 5})
    assert plugin.mlops_get_run(name, "fremd").params == {"n": 4, "m": 5}


def test_metrics_keep_value_step_and_time_and_the_last_step_counts(plugin, client, name, run):
    metrics = [Metric("loss", 1.0 / (step + 1), step, 1e9 + step) for step in range(2500)]
    plugin.mlops_log_metrics(run, metrics)
    history = client.get_metric_history(run.ref.id, "loss")
    read = sorted((m.step, m.value, m.timestamp) for m in history)
    assert read == [(m.step, m.value, round(m.time * 1000)) for m in metrics]
    assert plugin.mlops_get_run(name, "lauf").metrics == {"loss": metrics[-1].value}


def test_a_metric_that_is_no_number_is_refused_and_nothing_is_written(plugin, name, run):
    good, bad = Metric("a", 1.0, 0, 1.0), Metric("b", "high", 0, 1.0)
    with pytest.raises(ArgumentTypeError, match="high"):
        plugin.mlops_log_metrics(run, [good, bad])
    assert plugin.mlops_get_run(name, "lauf").metrics == {}


def test_runs_are_listed_oldest_first_and_all_pages(plugin, client, name, monkeypatch):
    monkeypatch.setattr(runs, "PAGE", 3)
    experiment = client.create_experiment(name)
    for number in reversed(range(7)):
        client.create_run(experiment, start_time=1000 + number, run_name=f"r{number}")
    assert [run.name for run in plugin.mlops_list_runs(name)] == [f"r{n}" for n in range(7)]


def test_a_missing_name_is_not_found_and_near_ones_are_named(plugin, name, run):
    with pytest.raises(NotFoundError, match="lauf2") as caught:
        plugin.mlops_get_run(name, "lauf2")
    assert "'lauf'" in caught.value.hint
    with pytest.raises(NotFoundError) as caught:
        plugin.mlops_list_runs(f"{name}x")
    assert repr(name) in caught.value.hint


def test_an_artifact_is_kept_with_the_run(plugin, client, run, tmp_path):
    file = tmp_path / "notiz.txt"
    file.write_text("grün")
    plugin.mlops_log_artifact(run, file, "notizen")
    plugin.mlops_log_artifact(run, file, "")
    copy = client.download_artifacts(run.ref.id, "notizen/notiz.txt", str(tmp_path / "."))
    assert Path(copy).read_text() == "grün"
    assert {each.path for each in client.list_artifacts(run.ref.id)} == {"notizen", "notiz.txt"}
    with pytest.raises(ArgumentError, match="nicht-da"):
        plugin.mlops_log_artifact(run, tmp_path / "nicht-da", "")


def test_the_native_run_is_mlflows_own(plugin, run):
    from mlflow.entities import Run

    assert isinstance(plugin.mlops_get_native(run.ref), Run)


def test_a_run_costs_milliseconds(plugin, name, run):
    start = time.perf_counter()
    for number in range(10):
        fast = plugin.mlops_create_run(name, f"schnell-{number}", None, {})
        plugin.mlops_log_metrics(fast, [Metric(f"m{n}", 1.0, 0, 1.0) for n in range(10)])
    assert (time.perf_counter() - start) / 10 < 0.25


# --- what other processes log natively ---

NATIVE = """
import mlflow
with mlflow.start_run(run_name="child"):
    mlflow.log_param("depth", 3)
    with mlflow.start_run(nested=True, run_name="grandchild"):
        pass
mlflow.set_experiment("elsewhere")
with mlflow.start_run(run_name="moved"):
    pass
"""


def test_what_plain_mlflow_logs_in_another_process_is_below_the_run(plugin, client, name, tmp_path):
    tags = {"kfp.task_name": "train", "unified_mlops.parent_task": "kfp://local/runs/1/train"}
    run = plugin.mlops_create_run(name, "lauf", None, {**tags, "team": "blau"})
    env = {**os.environ, **plugin.mlops_export_run(run), "DO_NOT_TRACK": "true"}
    subprocess.run([sys.executable, "-c", NATIVE], cwd=tmp_path, env=env, check=True)
    assert not list(tmp_path.iterdir())  # it kept nothing of its own
    found = {each.name: each for each in plugin.mlops_list_runs(name)}
    assert {key: each.parent for key, each in found.items()} == {
        "lauf": None,
        "child": "lauf",
        "grandchild": "child",
    }
    assert found["child"].params == {"depth": "3"}
    assert tags.items() <= found["child"].tags.items()
    assert "team" not in found["child"].tags
    (moved,) = plugin.mlops_list_runs("elsewhere")
    assert moved.parent == "lauf"


def test_a_variable_that_would_lead_to_another_run_is_replaced(plugin, run, monkeypatch):
    given = {"team": "blau", "kfp.task_name": "outer", "mlflow.parentRunId": "other"}
    monkeypatch.setenv("MLFLOW_RUN_CONTEXT", json.dumps(given))
    monkeypatch.setenv("MLFLOW_RUN_ID", "other")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "other")
    found = plugin.mlops_export_run(run)
    assert found["MLFLOW_RUN_ID"] == ""
    assert json.loads(found["MLFLOW_RUN_CONTEXT"]) == {
        "team": "blau",
        "mlflow.parentRunId": run.ref.id,
    }
    for broken in ("[1]", "{"):
        monkeypatch.setenv("MLFLOW_RUN_CONTEXT", broken)
        context = json.loads(plugin.mlops_export_run(run)["MLFLOW_RUN_CONTEXT"])
        assert context == {"mlflow.parentRunId": run.ref.id}
    monkeypatch.setenv("MLFLOW_RUN_CONTEXT", "{}")
    from mlflow.tracking import fluent

    for key, value in plugin.mlops_export_run(run).items():
        monkeypatch.setenv(key, value)
    before = fluent.mlflow.get_tracking_uri()
    fluent.mlflow.set_tracking_uri(plugin._store.uri)
    try:
        assert fluent._get_experiment_id_from_env() == found["MLFLOW_EXPERIMENT_ID"]
    finally:
        fluent.mlflow.set_tracking_uri(before)


def test_a_relative_store_is_told_by_its_whole_path(fresh, monkeypatch):
    home = fresh._store.file.parent
    monkeypatch.chdir(home)
    relative = MlflowPlugin(home.parent, tracking_uri="sqlite:///mlflow.db?timeout=9")
    found = relative.mlops_export_run(relative.mlops_create_run("e", "r", None, {}))
    assert found["MLFLOW_TRACKING_URI"] == f"sqlite:///{home}/mlflow.db?timeout=9"


def test_the_login_of_a_server_stands_in_variables_of_its_own(client, run):
    store = Store("https://m%40il:se%3Asame@mlflow.example/base", None)
    found = runs.variables(store, client.get_run(run.ref.id), run.experiment)
    assert found["MLFLOW_TRACKING_URI"] == "https://mlflow.example/base"
    assert found["MLFLOW_TRACKING_USERNAME"] == "m@il"
    assert found["MLFLOW_TRACKING_PASSWORD"] == "se:same"
