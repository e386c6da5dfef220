"""What plain MLflow writes, as the collector tells it."""

from __future__ import annotations

import json
import time
from urllib.parse import quote

import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from unified_mlops.records import Alias, Claim, Edge
from unified_mlops_mlflow import glance
from unified_mlops_mlflow.convert import model_uri, registered_uri, run_uri
from unified_mlops_mlflow.cursor import Cursor, numbers, ranges

FRAME = pd.DataFrame({"a": [1.0, 2.0], "b": [1.0, 2.0]})


def told(plugin, cursor=None):
    return {each.key: each for each in plugin.mlops_collect_lineage(cursor).observations}


def log_model(native, name="m"):
    model = LinearRegression().fit(FRAME, [1, 2])
    keywords = {"input_example": FRAME, "pip_requirements": ["scikit-learn"]}
    return native.sklearn.log_model(model, name=name, **keywords)


def instance(plugin):
    with plugin._store.read() as client:
        return plugin._store.instance(client)


def test_a_logged_model_has_its_time_its_columns_and_a_lasting_name(native, fresh):
    with native.start_run() as run:
        inside = log_model(native)
    outside = log_model(native, "orphan")
    found = told(fresh)
    uri = model_uri(inside.model_id)
    model = found[f"model/{inside.model_id}"]
    assert model.nodes[0].time == pytest.approx(time.time(), abs=60)
    assert Edge(run_uri(run.info.run_id), "OUTPUT", uri) in model.edges
    scope = f"mlflow://{instance(fresh)}"
    assert model.aliases == (Alias(f"models:/{inside.model_id}", uri, scope, fields=("a", "b")),)
    orphan = found[f"model/{outside.model_id}"]
    assert {edge.kind for edge in orphan.edges} == {"FIELD"}


def test_a_version_has_its_time_its_columns_and_a_lasting_name(native, fresh):
    info = log_model(native)
    client = native.MlflowClient()
    version = native.register_model(info.model_uri, "delay")
    client.copy_model_version("models:/delay/1", "copy")
    found, inst = told(fresh), instance(fresh)
    first, copy = registered_uri(inst, "delay", "1"), registered_uri(inst, "copy", "1")
    seen = found[first]
    assert seen.nodes[0].time == version.creation_timestamp / 1000
    assert Edge(model_uri(info.model_id), "DERIVES", first) in seen.edges
    assert Edge(first, "FIELD", f"{first}#a") in seen.edges
    above = f"{model_uri(info.model_id)}#a"
    rule = ("derived", "signature-column")
    assert Edge(above, "DERIVES", f"{first}#a", *rule) in seen.edges
    assert Edge(f"{first}#a", "DERIVES", f"{copy}#a", *rule) in found[copy].edges
    name = Alias("models:/delay/1", first, f"mlflow://{inst}", fields=("a", "b"))
    assert seen.aliases == (name,)
    assert "aliases" not in seen.nodes[0].attributes


def test_a_deleted_model_was_still_made_by_its_run(native, fresh):
    with native.start_run() as run:
        info = log_model(native)
    native.MlflowClient().delete_logged_model(info.model_id)
    seen = told(fresh)[f"run/{run.info.run_id}"]
    uri = model_uri(info.model_id)
    assert Edge(run_uri(run.info.run_id), "OUTPUT", uri) in seen.edges
    assert uri in {node.uri for node in seen.nodes}


def test_a_model_whose_files_are_out_of_reach_is_told_and_said(fresh, native, monkeypatch):
    from unified_mlops_mlflow import models

    def away(client, location):
        raise ConnectionRefusedError(location)

    info = log_model(native)
    monkeypatch.setattr(models, "read_signature", away)
    seen = told(fresh)[f"model/{info.model_id}"]
    assert "ConnectionRefusedError" in seen.unresolved[0]
    assert seen.aliases[0].fields is None


def test_models_that_mlflow_says_a_run_used_are_its_inputs(native, fresh):
    from mlflow.entities import LoggedModelInput

    info = log_model(native)
    with native.start_run() as run:
        given = [LoggedModelInput(info.model_id)]
        native.MlflowClient().log_inputs(run.info.run_id, models=given)
    seen = told(fresh)[f"run/{run.info.run_id}"]
    assert Edge(model_uri(info.model_id), "INPUT", run_uri(run.info.run_id)) in seen.edges


def test_an_evaluated_model_is_named_by_the_evaluators_own_tag(native, fresh):
    info = log_model(native)
    with native.start_run() as run:
        native.models.evaluate(
            info.model_uri,
            FRAME.assign(y=[1.0, 2.0]),
            targets="y",
            model_type="regressor",
            evaluators="default",
            evaluator_config={"log_explainer": False},
        )
    claim = named(told(fresh)[f"run/{run.info.run_id}"], "model-text")
    assert (claim.name, claim.kind) == (f"models:/{info.model_id}", "INPUT")


def named(observation, rule) -> Claim:
    (found,) = [claim for claim in observation.claims if claim.rule == rule]
    return found


def test_a_model_that_a_param_or_feast_names_is_claimed_as_of_the_runs_start(native, fresh):
    with native.start_run() as run:
        native.log_params({"model_uri": "models:/delay@prod", "output_model": "models:/new/1"})
    with native.start_run(tags={"feast.model_name": "delay", "feast.model_version": "3"}) as other:
        pass
    found = told(fresh)
    claim = named(found[f"run/{run.info.run_id}"], "model-text")
    assert (claim.name, claim.at) == ("models:/delay@prod", run.info.start_time / 1000)
    assert claim.scope == f"mlflow://{instance(fresh)}"
    assert named(found[f"run/{other.info.run_id}"], "model-text").name == "models:/delay/3"


@pytest.mark.parametrize(
    ("tags", "rule", "names"),
    [
        ({"kfp.pipeline_run_id": "r1"}, "kfp-tags", ["kfp:run/r1"]),
        (
            {"kfp.pipeline_run_id": "r1", "kfp.task_name": "train"},
            "kfp-tags",
            ["kfp:task/r1/train"],
        ),
        (
            {"unified_mlops.ray_job": "raysubmit_1", "unified_mlops.ray_driver": "session_1/01"},
            "ray-job",
            ["ray:job/raysubmit_1", "ray:driver/session_1/01"],
        ),
    ],
)
def test_tags_of_the_surroundings_are_claims_on_what_the_run_is_part_of(
    native, fresh, tags, rule, names
):
    with native.start_run(tags=tags) as run:
        pass
    seen = told(fresh)[f"run/{run.info.run_id}"]
    claims = [claim for claim in seen.claims if claim.rule == rule]
    assert [claim.name for claim in claims] == names
    assert {(claim.kind, claim.thing) for claim in claims} == {("PARENT_OF", seen.nodes[0].uri)}


def test_the_name_of_a_registered_model_may_hold_blanks(native, fresh):
    texts = {"a": "models:/late departures é@prod", "b": "models:/late departures é/1"}
    with native.start_run() as run:
        native.log_params(texts)
        native.set_tag("model_uri", "models:/a tag/2")
        native.log_params({"c": "see models:/delay/1", "d": "models:/x\nmodels:/y"})
    claims = told(fresh)[f"run/{run.info.run_id}"].claims
    names = {claim.name for claim in claims if claim.rule == "model-text"}
    assert names == {*texts.values(), "models:/a tag/2"}


def test_a_secret_behind_the_name_of_a_model_is_not_kept(native, fresh):
    with native.start_run() as run:
        native.log_params({"model": "models:/delay/1 password=hunter2"})
    seen = told(fresh)[f"run/{run.info.run_id}"]
    assert not seen.claims and "delay/1" in seen.unresolved[0]
    assert "hunter2" not in repr(seen)


def test_a_process_means_its_run_until_the_run_ends(native, fresh):
    tags = {"unified_mlops.host": "h", "unified_mlops.pid": "7"}
    with native.start_run(tags=tags) as run:
        open_ = told(fresh)[f"run/{run.info.run_id}"].aliases[0]
    ended = native.get_run(run.info.run_id).info
    closed = told(fresh)[f"run/{run.info.run_id}"].aliases[0]
    since = ended.start_time / 1000
    until = ended.end_time / 1000 + 0.001  # whole milliseconds, of which the last had begun
    uri = run_uri(run.info.run_id)
    assert open_ == Alias("process:h:7", uri, since=since)
    assert closed == Alias("process:h:7", uri, since=since, until=until)


def test_a_trace_tells_its_model_run_request_and_nothing_that_was_said(native, fresh):
    info = log_model(native)

    @native.trace
    def answer(question):
        native.update_current_trace(client_request_id="req-1")
        return {"whispered": question}

    with native.start_run() as run:
        native.set_active_model(model_id=info.model_id)
        answer("plaudertasche")
    native.flush_trace_async_logging()
    (seen,) = [each for key, each in told(fresh).items() if key.startswith("trace/")]
    node = seen.nodes[0]
    assert (node.kind, node.name, node.attributes["state"]) == ("trace", "answer", "OK")
    assert node.time == pytest.approx(time.time(), abs=60)
    assert set(seen.edges) == {
        Edge(run_uri(run.info.run_id), "OUTPUT", node.uri),
        Edge(model_uri(info.model_id), "DERIVES", node.uri),
    }
    claim = named(seen, "request-id")
    assert (claim.name, claim.thing, claim.kind) == ("request:req-1", node.uri, "DERIVES")
    assert not any(word in repr(seen) for word in ("plaudertasche", "whispered"))


# --- the cursor ------------------------------------------------------------------------------


def settle(plugin, monkeypatch):
    """Let the file system's clock tick: a write now is one that a glance can see."""
    monkeypatch.setattr(glance, "SETTLED", -1.0)


def test_nothing_new_is_told_by_a_glance_at_the_file(native, fresh, monkeypatch):
    with native.start_run():
        pass
    settle(fresh, monkeypatch)
    first = fresh.mlops_collect_lineage(None)
    assert first.observations

    def touched(*_):
        raise AssertionError("MLflow was asked")

    monkeypatch.setattr(type(fresh._store), "open_existing", touched)
    began = time.perf_counter()
    second = fresh.mlops_collect_lineage(first.cursor)
    assert time.perf_counter() - began < 0.1
    assert second.observations == ()
    old, new = Cursor.load(first.cursor), Cursor.load(second.cursor)
    assert new.looked > old.looked and new.since == old.since


def test_a_fresh_write_is_never_trusted_to_the_file_systems_clock(native, fresh):
    with native.start_run():
        pass
    first = fresh.mlops_collect_lineage(None)
    assert Cursor.load(first.cursor).glance == ""
    second = fresh.mlops_collect_lineage(first.cursor)
    assert second.observations == []


def test_what_is_added_to_a_run_long_after_its_end_is_told(native, fresh, monkeypatch):
    """MLflow 3.17 gives such a change no time; the order of SQLite's rows shows it."""
    from mlflow.entities import Dataset, DatasetInput

    client = native.MlflowClient()
    ids = []
    for _ in range(3):
        run_id = client.create_run("0", start_time=1000).info.run_id
        client.set_terminated(run_id, end_time=2000)
        ids.append(run_id)
    first = fresh.mlops_collect_lineage(None)
    client.set_tag(ids[0], "kfp.pipeline_run_id", "late")
    dataset = Dataset("d", "1", "local", json.dumps({"uri": "/data/late.csv"}))
    client.log_inputs(ids[1], [DatasetInput(dataset, [])])
    imported = client.create_run("0", start_time=500).info.run_id
    client.set_terminated(imported, end_time=600)
    found = told(fresh, first.cursor)
    assert named(found[f"run/{ids[0]}"], "kfp-tags").name == "kfp:run/late"
    assert "file:///data/late.csv" in {edge.source for edge in found[f"run/{ids[1]}"].edges}
    assert found.keys() == {f"run/{each}" for each in (ids[0], ids[1], imported)}


def test_a_cursor_of_another_store_or_of_nobody_starts_from_the_beginning(native, fresh, plugin):
    with native.start_run() as run:
        pass
    elsewhere = plugin.mlops_collect_lineage(None).cursor
    for cursor in (elsewhere, "{broken", '{"since": 9999999999999, "another": 1}'):
        assert f"run/{run.info.run_id}" in told(fresh, cursor)


def test_an_alias_that_moved_between_two_looks_is_told_once(native, fresh):
    client = native.MlflowClient()
    client.create_registered_model("delay")
    for _ in range(2):
        version_of(client, "delay")
    client.set_registered_model_alias("delay", "prod", "1")
    first = fresh.mlops_collect_lineage(None)
    looked = Cursor.load(first.cursor).looked
    client.set_registered_model_alias("delay", "prod", "2")
    second = fresh.mlops_collect_lineage(first.cursor)
    (moved,) = [alias for each in second.observations for alias in each.aliases]
    inst = instance(fresh)
    assert (moved.name, moved.scope) == ("models:/delay@prod", f"mlflow://{inst}")
    assert (moved.uri, moved.after) == (registered_uri(inst, "delay", "2"), looked)
    assert looked < moved.since <= time.time()
    assert fresh.mlops_collect_lineage(second.cursor).observations == []


def test_numbers_survive_as_ranges():
    assert ranges([5, 1, 3, 2]) == "1-3 5"
    assert numbers("1-3 5") == {1, 2, 3, 5}
    assert numbers(ranges([])) == set()


# --- the registry through time ---------------------------------------------------------------


def version_of(client, name):
    return client.create_model_version(name, "s3://bucket/model")


def test_deleted_versions_and_models_lose_their_names(native, fresh):
    client = native.MlflowClient()
    for name in ("delay", "other"):
        client.create_registered_model(name)
        version_of(client, name)
    version_of(client, "delay")
    client.set_registered_model_alias("other", "prod", "1")
    first = fresh.mlops_collect_lineage(None)
    looked = Cursor.load(first.cursor).looked
    client.delete_model_version("delay", "1")
    client.delete_registered_model("other")
    second = fresh.mlops_collect_lineage(first.cursor)
    ended = [alias for each in second.observations for alias in each.aliases]
    assert [(alias.name, alias.uri, alias.after) for alias in ended] == [
        ("models:/delay/1", "", looked),
        ("models:/other/1", "", looked),
        ("models:/other@prod", "", looked),
    ]
    assert all(looked < alias.since <= time.time() for alias in ended)
    again = {
        alias.name
        for each in fresh.mlops_collect_lineage(second.cursor).observations
        for alias in each.aliases
    }
    assert again == set()


def test_a_version_number_that_is_used_again_means_the_new_one_from_its_creation(native, fresh):
    client = native.MlflowClient()
    cursor = None
    for step in (
        lambda: client.create_registered_model("delay"),
        lambda: version_of(client, "delay"),
        lambda: client.delete_registered_model("delay"),
        lambda: client.create_registered_model("delay"),
    ):
        step()
        cursor = fresh.mlops_collect_lineage(cursor).cursor
    made = version_of(client, "delay").creation_timestamp
    uri = f"{registered_uri(instance(fresh), 'delay', '1')}@{made}"
    second = fresh.mlops_collect_lineage(cursor)
    (seen,) = [each for each in second.observations if each.key == uri]
    assert (seen.aliases[0].uri, seen.aliases[0].since) == (uri, made / 1000)
    client.set_model_version_tag("delay", "1", "k", "v")
    client.update_model_version("delay", "1", "told again, as it was changed")
    assert told(fresh, second.cursor).keys() <= {uri, uri.rpartition("/")[0]}


def graph(plugin, folder, steps):
    """What a graph holds that was collected before the first step and after each."""
    from unified_mlops.lineage.store import Store

    store, cursor = Store(folder / "lineage.db"), None
    for step in (lambda: None, *steps):
        step()
        found = plugin.mlops_collect_lineage(cursor)
        store.add("mlflow", list(found.observations))
        cursor = found.cursor
    return store


@pytest.mark.parametrize("looked", [True, False])
def test_a_model_that_was_deleted_and_made_again_is_another_one(native, fresh, tmp_path, looked):
    """Whether or not anybody looked while it was gone."""
    client, models, runs = native.MlflowClient(), [], []

    def register():
        models.append(log_model(native).model_id)
        client.create_registered_model("delay")
        client.create_model_version("delay", f"models:/{models[-1]}", model_id=models[-1])
        client.set_registered_model_alias("delay", "prod", "1")

    def use():
        time.sleep(0.01)
        for text in ("models:/delay/1", "models:/delay@prod"):
            with native.start_run() as run:
                native.log_param("model_uri", text)
            runs.append(run_uri(run.info.run_id))

    def delete():
        client.delete_registered_model("delay")
        if not looked:
            register()

    store = graph(fresh, tmp_path, [register, use, delete, register if looked else use, use])
    old = registered_uri(instance(fresh), "delay", "1")
    new = f"{old}@{client.get_model_version('delay', '1').creation_timestamp}"
    edges = {(e.source, e.kind, e.target) for e in store.edges() if e.level != "inferred"}
    made = {(s, t) for s, kind, t in edges if kind == "DERIVES" and t in (old, new)}
    assert made == {(model_uri(models[0]), old), (model_uri(models[1]), new)}
    used = {t: s for s, kind, t in edges if kind == "INPUT"}
    for run in runs[:2]:
        assert used[run] == old
    for run in runs[-2:]:
        assert used[run] == new


def test_a_copy_of_a_version_is_made_of_the_one_that_there_was(native, fresh, tmp_path):
    client = native.MlflowClient()

    def register():
        client.create_registered_model("delay")
        version_of(client, "delay")

    def copy(name):
        return lambda: client.copy_model_version("models:/delay/1", name)

    store = graph(
        fresh,
        tmp_path,
        [
            register,
            copy("first"),
            lambda: client.delete_registered_model("delay"),
            register,
            copy("second"),
            lambda: client.update_model_version("first", "1", "told again"),
        ],
    )
    inst = instance(fresh)
    old = registered_uri(inst, "delay", "1")
    new = f"{old}@{client.get_model_version('delay', '1').creation_timestamp}"
    copies = {registered_uri(inst, name, "1"): name for name in ("first", "second")}
    made = {(e.source, copies[e.target]) for e in store.edges() if e.target in copies}
    assert {(source, name) for source, name in made if "/delay/" in source} == {
        (old, "first"),
        (new, "second"),
    }


def test_an_alias_has_the_columns_of_the_version_that_it_means(native, fresh):
    client = native.MlflowClient()
    client.create_registered_model("delay")
    for _ in range(2):
        model = log_model(native).model_id
        client.create_model_version("delay", f"models:/{model}", model_id=model)
    client.set_registered_model_alias("delay", "prod", "1")
    first = fresh.mlops_collect_lineage(None)
    client.set_registered_model_alias("delay", "prod", "2")
    for found in (first, fresh.mlops_collect_lineage(first.cursor)):
        meant = [a for each in found.observations for a in each.aliases if "@prod" in a.name]
        assert meant and {alias.fields for alias in meant} == {("a", "b")}


def test_names_with_odd_characters_keep_one_spelling_in_aliases(native, fresh):
    client = native.MlflowClient()
    client.create_registered_model("größe & mehr")
    version_of(client, "größe & mehr")
    client.set_registered_model_alias("größe & mehr", "prod", "1")
    names = {alias.name for each in told(fresh).values() for alias in each.aliases}
    assert names == {"models:/größe & mehr/1", "models:/größe & mehr@prod"}
    assert quote("größe & mehr") in registered_uri("x", "größe & mehr")
