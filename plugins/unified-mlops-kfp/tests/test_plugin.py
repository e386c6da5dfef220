import json
import subprocess
import sys
import time
from functools import partial

import pytest
from kfp import compiler, dsl
from kfp.dsl import Dataset, Input, Model, Output

from unified_mlops.errors import ArgumentError
from unified_mlops.records import Edge, Node
from unified_mlops_kfp.plugin import KfpPlugin

component = partial(dsl.component, base_image="python:3.11")


@component
def say(text: str) -> str:
    return text


@dsl.pipeline(name="hello")
def hello(text: str = "a"):
    say(text=text)


def test_a_function_a_file_and_a_dict_are_one_pipeline(plugin, tmp_path):
    for name in ("p.yaml", "p.json"):
        compiler.Compiler().compile(hello, str(tmp_path / name))
    records = [
        plugin.mlops_load_pipeline(template)
        for template in (hello, tmp_path / "p.yaml", str(tmp_path / "p.json"))
    ]
    records.append(plugin.mlops_load_pipeline(records[0].spec))
    assert len({record.ref for record in records}) == 1
    ref = records[0].ref
    assert (records[0].name, ref.kind) == ("hello", "pipeline")
    assert ref.uri == f"kfp:pipeline/{ref.id}"
    assert ref.id.startswith("hello@")
    assert len(ref.id) == len("hello@") + 12


def test_another_definition_has_another_uri(plugin):
    other = dsl.pipeline(hello.pipeline_func, name="hello", description="other")
    assert plugin.mlops_load_pipeline(other).ref != plugin.mlops_load_pipeline(hello).ref


def test_what_is_said_for_one_platform_is_kept(plugin, tmp_path):
    (tmp_path / "p.yaml").write_text(
        "pipelineInfo: {name: x}\nroot: {}\nschemaVersion: 2.1.0\n---\nplatforms: {kubernetes: {}}"
    )
    assert plugin.mlops_load_pipeline(tmp_path / "p.yaml").spec["platforms"] == {"kubernetes": {}}


@pytest.mark.parametrize("content", [None, "a: [", "- 1", "just text", "a: 1", "\x00"])
def test_what_is_no_compiled_pipeline_is_refused(plugin, tmp_path, content):
    if content is not None:
        (tmp_path / "p.yaml").write_text(content)
    with pytest.raises(ArgumentError):
        plugin.mlops_load_pipeline(tmp_path / "p.yaml")


def test_a_plain_function_is_refused_with_what_to_type(plugin):
    with pytest.raises(ArgumentError, match="neither a pipeline function") as caught:
        plugin.mlops_load_pipeline(lambda: None)
    assert "@kfp.dsl.pipeline" in caught.value.hint


def test_the_root_is_in_the_workspace_unless_it_is_given(tmp_path):
    assert KfpPlugin(tmp_path).mlops_check_plugin().location == str(tmp_path / "pipelines")
    assert KfpPlugin(tmp_path, root=str(tmp_path / "x")).root == tmp_path / "x"


def test_importing_constructing_and_checking_imports_no_tool_and_starts_nothing():
    code = (
        "import sys, pathlib; from unified_mlops_kfp.plugin import KfpPlugin;"
        "check = KfpPlugin(pathlib.Path('nowhere')).mlops_check_plugin();"
        "assert check.version and not {'kfp', 'yaml', 'google', 'packaging'} & set(sys.modules);"
        "assert not pathlib.Path('nowhere').exists()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- lineage ---------------------------------------------------------------------------------


@component
def train(data: Input[Dataset], rate: float, model: Output[Model]) -> float:
    model.metadata["unified_mlops.uri"] = "mlflow://abc/registered/m/1"
    model.metadata["framework"] = "none"
    return rate * 2


@pytest.fixture
def collected(tmp_path, request_of):
    """A plugin on the root where one task has run and left what a runner leaves."""
    data = {"name": "data", "type": {"schemaTitle": "system.Dataset"}, "uri": "/d/x.csv"}
    request = request_of(train, name="train", artifacts={"data": data}, rate=0.5, note="n" * 201)
    (tmp_path / "one/job/train/executor_input.json").write_text(json.dumps(request.executor_input))
    job = {
        "pipeline": {"name": "one", "uri": "kfp:pipeline/one@abc"},
        "state": "PIPELINE_STATE_SUCCEEDED",
        "parameters": {"rate": 0.5, "flag": True},
        "tasks": {"train": {"state": "SUCCEEDED", "error": ""}},
    }
    (tmp_path / "one/job/job.json").write_text(json.dumps(job))
    plugin = KfpPlugin(tmp_path, root=str(tmp_path))
    plugin.mlops_run_task(request)
    return plugin


def test_the_files_of_a_run_give_its_lineage(collected, tmp_path):
    run, task = collected.mlops_collect_lineage(None).observations
    uri, made = "kfp://local/runs/job", f"file://{tmp_path}/one/job/train/model"
    assert run.edges == (Edge("kfp:pipeline/one@abc", "PARENT_OF", uri, "recorded", "kfp.job"),)
    attributes = {"state": "PIPELINE_STATE_SUCCEEDED", "rate": 0.5, "flag": "true"}
    assert run.nodes[0] == Node(uri, "pipeline_run", "job", attributes)
    assert {(edge.source, edge.kind, edge.target) for edge in task.edges} == {
        (uri, "PARENT_OF", f"{uri}/train"),
        ("file:///d/x.csv", "INPUT", f"{uri}/train"),
        (f"{uri}/train", "OUTPUT", made),
        (made, "DERIVES", "mlflow://abc/registered/m/1"),
    }
    values = {"state": "SUCCEEDED", "input.rate": 0.5, "output.Output": 1.0}
    assert task.nodes == (
        Node(f"{uri}/train", "task", "train", values),
        Node("file:///d/x.csv", "dataset", "data"),
        Node(made, "model", "model", {"framework": "none"}),
    )


def test_collecting_goes_on_from_what_was_written_last(collected, tmp_path):
    time.sleep(0.05)
    first = collected.mlops_collect_lineage(None)
    assert collected.mlops_collect_lineage(None) == first
    job = tmp_path / "one" / "job" / "job.json"
    assert len(collected.mlops_collect_lineage(first.cursor).observations) == 1
    job.write_text(job.read_text().replace("SUCCEEDED", "FAILED"))
    changed = collected.mlops_collect_lineage(first.cursor).observations
    assert [seen.nodes[0].attributes["state"] for seen in changed] == [
        "PIPELINE_STATE_FAILED",
        "FAILED",
    ]


def test_a_task_that_the_runner_never_saw_belongs_to_its_run(collected, tmp_path):
    (tmp_path / "one/job/job.json").unlink()
    (task,) = collected.mlops_collect_lineage(None).observations
    assert Node("kfp://local/runs/job", "pipeline_run", "job") in task.nodes


def test_without_a_root_nothing_is_found_and_nothing_made(tmp_path):
    found = KfpPlugin(tmp_path / "none").mlops_collect_lineage(None)
    assert (found.observations, found.cursor) == ((), None)
    assert not (tmp_path / "none").exists()
