import json
import os
import time
from functools import partial
from pathlib import Path

import pytest
from kfp import dsl
from kfp.dsl import Dataset, Input, Model, Output

from unified_mlops.errors import BackendError
from unified_mlops.records import Alias, Edge, Node
from unified_mlops_kfp import files
from unified_mlops_kfp.plugin import KfpPlugin
from unified_mlops_kfp.shown import clean, shown

component = partial(dsl.component, base_image="python:3.11")
URI = "kfp://local/runs/job"
SECRET = "hunter2"


@component
def train(data: Input[Dataset], rate: float, model: Output[Model]) -> float:
    model.metadata["unified_mlops.uri"] = "mlflow://abc/registered/m/1"
    model.metadata["framework"] = "none"
    model.metadata["db_password"] = "hunter2"
    return rate * 2


@component
def fail(model: Output[Model]):
    raise ValueError("on purpose")


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


@pytest.fixture
def collected(tmp_path, request_of):
    """A plugin on the root where one task has run and left what a runner leaves."""
    data = {"name": "data", "type": {"schemaTitle": "system.Dataset"}, "uri": "/d/x.csv"}
    request = request_of(train, name="train", artifacts={"data": data}, rate=0.5, note="n" * 201)
    write(tmp_path / "one/job/train/executor_input.json", request.executor_input)
    job = {
        "pipeline": {"name": "one", "uri": "kfp:pipeline/one@abc"},
        "state": "PIPELINE_STATE_RUNNING",
        "createTime": "2026-01-02T03:04:05Z",
        "parameters": {"rate": 0.5, "flag": True, "api_key": SECRET, "url": f"s3://u:{SECRET}@b/k"},
        "tasks": {"train": {"state": "SUCCEEDED", "error": ""}},
    }
    plugin = KfpPlugin(tmp_path, root=str(tmp_path))
    plugin.mlops_run_task(request)
    write(tmp_path / "one/job/job.json", {**job, "state": "PIPELINE_STATE_SUCCEEDED"})
    time.sleep(0.05)
    return plugin


def triples(observations):
    return {(e.source, e.kind, e.target) for seen in observations for e in seen.edges}


def test_the_files_of_a_run_give_its_lineage(collected, tmp_path):
    run, task = collected.mlops_collect_lineage(None).observations
    made = f"file://{tmp_path}/one/job/train/model"
    assert run.edges == (Edge("kfp:pipeline/one@abc", "PARENT_OF", URI, "recorded", "kfp.job"),)
    attributes = {"state": "PIPELINE_STATE_SUCCEEDED", "rate": 0.5, "flag": "true"}
    attributes |= {"api_key": "***", "url": "s3://b/k"}
    assert run.nodes[0] == Node(URI, "pipeline_run", "job", attributes, 1767323045.0)
    assert triples([task]) == {
        (URI, "PARENT_OF", f"{URI}/train"),
        ("file:///d/x.csv", "INPUT", f"{URI}/train"),
        (f"{URI}/train", "OUTPUT", made),
        (made, "DERIVES", "mlflow://abc/registered/m/1"),
    }
    values = {"state": "SUCCEEDED", "input.rate": 0.5, "output.Output": 1.0}
    began = (tmp_path / "one/job/train/executor_input.json").stat().st_mtime
    assert task.nodes == (
        Node(f"{URI}/train", "task", "train", values, began),
        Node("file:///d/x.csv", "dataset", "data"),
        Node(made, "model", "model", {"framework": "none", "db_password": "***"}),
    )
    assert task.time == (tmp_path / "one/job/job.json").stat().st_mtime


def test_runs_and_tasks_have_the_names_by_which_others_know_them(collected):
    run, task = collected.mlops_collect_lineage(None).observations
    assert run.aliases == (Alias("kfp:run/job", URI, "kfp://local"),)
    assert task.aliases == (Alias("kfp:task/job/train", f"{URI}/train", "kfp://local"),)


def test_collecting_goes_on_from_what_was_written_last(collected, tmp_path):
    first = collected.mlops_collect_lineage(None)
    assert collected.mlops_collect_lineage(None) == first
    again = collected.mlops_collect_lineage(first.cursor)
    assert (again.observations, again.cursor) == ((), first.cursor)
    job = tmp_path / "one" / "job" / "job.json"
    job.write_text(job.read_text().replace("SUCCEEDED", "FAILED"))
    changed = collected.mlops_collect_lineage(first.cursor).observations
    assert [seen.nodes[0].attributes["state"] for seen in changed] == [
        "PIPELINE_STATE_FAILED",
        "FAILED",
    ]
    assert [seen.key for seen in changed] == [seen.key for seen in first.observations]
    assert changed[0].time > first.observations[0].time


def test_a_running_run_is_looked_at_until_it_is_over(collected, tmp_path):
    job, task = tmp_path / "one/job/job.json", tmp_path / "one/job/train/executor_output.json"
    job.write_text(job.read_text().replace("SUCCEEDED", "RUNNING"))
    written = task.read_text()
    task.unlink()
    time.sleep(0.05)
    first = collected.mlops_collect_lineage(None)
    assert not [edge for edge in triples(first.observations) if edge[1] == "OUTPUT"]
    task.write_text(written)
    (seen,) = collected.mlops_collect_lineage(first.cursor).observations
    assert seen.nodes[0].uri == f"{URI}/train"
    assert "OUTPUT" in {edge.kind for edge in seen.edges}


def test_a_run_that_was_moved_here_with_its_old_times_is_seen(collected, tmp_path):
    first = collected.mlops_collect_lineage(None)
    old = tmp_path / "elsewhere"
    write(old / "job.json", {"state": "PIPELINE_STATE_FAILED"})
    os.utime(old / "job.json", (1e9, 1e9))
    old.rename(tmp_path / "one" / "old")
    (seen,) = collected.mlops_collect_lineage(first.cursor).observations
    assert (seen.nodes[0].name, seen.time) == ("old", 1e9)


def test_a_failed_task_made_nothing(tmp_path, request_of):
    request = request_of(fail, name="fail")
    write(tmp_path / "one/job/fail/executor_input.json", request.executor_input)
    plugin = KfpPlugin(tmp_path, root=str(tmp_path))
    assert plugin.mlops_run_task(request).state == "FAILED"
    (task,) = plugin.mlops_collect_lineage(None).observations
    assert {edge.kind for edge in task.edges} == {"PARENT_OF"}


def test_the_iterations_of_a_loop_are_tasks_of_their_own(tmp_path, request_of):
    for number in (0, 1):
        data = {"name": "d", "uri": f"/d/{number}.csv"}
        request = request_of(train, name=f"loop-iteration-{number}/t", artifacts={"data": data})
        write(Path(request.folder, "executor_input.json"), request.executor_input)
        write(Path(request.folder, "executor_output.json"), {})
    found = KfpPlugin(tmp_path, root=str(tmp_path)).mlops_collect_lineage(None).observations
    reads = {edge for edge in triples(found) if edge[1] == "INPUT"}
    assert reads == {(f"file:///d/{n}.csv", "INPUT", f"{URI}/loop-iteration-{n}/t") for n in (0, 1)}
    assert len({seen.key for seen in found}) == 2


def test_a_task_that_the_runner_never_saw_belongs_to_its_run(collected, tmp_path):
    (tmp_path / "one/job/job.json").unlink()
    (task,) = collected.mlops_collect_lineage(None).observations
    assert Node(URI, "pipeline_run", "job") in task.nodes


def test_without_a_root_nothing_is_found_and_nothing_made(tmp_path):
    found = KfpPlugin(tmp_path / "none").mlops_collect_lineage(None)
    assert (found.observations, found.cursor) == ((), None)
    assert not (tmp_path / "none").exists()


def test_an_old_cursor_that_was_a_number_reads_everything_again(collected):
    found = collected.mlops_collect_lineage("1700000000000000000")
    assert found == collected.mlops_collect_lineage(None)


def test_of_runs_that_are_over_no_file_is_read_again(tmp_path, monkeypatch):
    for name in ("first", "second", "last"):
        write(tmp_path / "one" / name / "job.json", {"state": "PIPELINE_STATE_SUCCEEDED"})
        write(tmp_path / "one" / name / "t" / "executor_input.json", {})
        time.sleep(0.05)
    plugin = KfpPlugin(tmp_path, root=str(tmp_path))
    first = plugin.mlops_collect_lineage(None)
    assert len(first.observations) == 6
    read, reader = [], files.read_json
    monkeypatch.setattr(
        files, "read_json", lambda file, *_: read.append(file.parent.name) or reader(file, [])
    )
    write(tmp_path / "one" / "last" / "job.json", {"state": "PIPELINE_STATE_FAILED"})
    assert len(plugin.mlops_collect_lineage(first.cursor).observations) == 2
    assert set(read) == {"last", "t"}


# --- bad input -------------------------------------------------------------------------------


def test_a_root_that_is_no_folder_is_an_error_that_names_the_setting(tmp_path):
    (tmp_path / "file").write_text("")
    for key in ("root", "local", "definitions"):
        plugin = KfpPlugin(tmp_path, **{key: str(tmp_path / "file")})
        with pytest.raises(BackendError, match="file' cannot be read: Not a directory") as caught:
            plugin.mlops_collect_lineage(None)
        assert f"set {key} in [plugins.kfp]" in caught.value.hint


@pytest.mark.parametrize(
    ("content", "said"),
    [('{"state": "PIP', "not whole"), ("[1]", "no JSON object"), ("[" * 100_000, "not whole")],
)
def test_half_a_file_is_named_the_others_go_on_and_it_is_read_when_it_is_whole(
    collected, tmp_path, content, said
):
    write(tmp_path / "one/half/job.json", content)
    found = collected.mlops_collect_lineage(None)
    assert len(found.observations) == 3
    half = next(seen for seen in found.observations if seen.key.endswith("/half"))
    assert said in half.unresolved[0]
    write(tmp_path / "one/half/job.json", {"state": "PIPELINE_STATE_FAILED"})
    (mended,) = collected.mlops_collect_lineage(found.cursor).observations
    assert mended.unresolved == ()
    assert mended.time >= half.time


def test_what_kfp_did_not_write_is_named_and_the_others_go_on(collected, tmp_path):
    write(tmp_path / "one/odd/job.json", {"pipeline": "one", "parameters": [1]})
    write(tmp_path / "one/odd/t/executor_input.json", {"inputs": {"artifacts": [1]}})
    found = {seen.key: seen for seen in collected.mlops_collect_lineage(None).observations}
    assert len(found) == 4
    for key in (f"file://{tmp_path}/one/odd", f"file://{tmp_path}/one/odd/t"):
        assert "not what KFP writes" in found[key].unresolved[0]


def test_a_huge_file_is_named_and_not_read(collected, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "LARGEST", 10_000)
    write(tmp_path / "one/huge/job.json", {"parameters": {"x": "y" * 10_000}})
    found = collected.mlops_collect_lineage(None).observations
    assert "larger than 10000 bytes" in next(s for s in found if "huge" in s.key).unresolved[0]
    assert len(found) == 3


def test_a_reference_that_names_no_thing_is_unresolved_and_no_node(tmp_path):
    given = {"inputs": {"artifacts": {"d": {"artifacts": [{"name": "d", "uri": "rel/x"}]}}}}
    write(tmp_path / "one/job/t/executor_input.json", given)
    (task,) = KfpPlugin(tmp_path, root=str(tmp_path)).mlops_collect_lineage(None).observations
    assert task.unresolved == (f"{URI}/t: 'rel/x'",)
    assert {edge.kind for edge in task.edges} == {"PARENT_OF"}


# --- secrets ---------------------------------------------------------------------------------


def test_no_secret_is_shown(collected):
    assert SECRET not in repr(collected.mlops_collect_lineage(None))


def test_secrets_are_masked_by_their_names_and_in_texts():
    values = {
        "db": {"password": SECRET, "port": 5432},
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "apiKey": SECRET,
        "dsn": f"postgresql://u:{SECRET}@h/d?password={SECRET}",
        "header": f"Authorization: Bearer {SECRET}",
        "link": f"https://b/k?X-Amz-Signature={SECRET}",
        "text": f"host=h password='{SECRET}'",
    }
    assert SECRET not in repr(shown("", values))
    assert SECRET not in clean(json.dumps({"token": SECRET}))


def test_what_only_sounds_like_a_secret_is_shown():
    values = {"tokenizer": "bpe", "author": "ada", "max_tokens": 5, "design": "x", "n": 1}
    assert shown("", values) == values
