# The bodies of components are what users write.
# ruff: noqa: PTH109, PTH123
from functools import partial

import pytest
from kfp import dsl
from kfp.compiler import Compiler
from kfp.dsl import Dataset, Input, Output

from unified_mlops.errors import UnsupportedError
from unified_mlops.records import Edge, Ref, TaskRequest

component = partial(dsl.component, base_image="python:3.11")


@component
def count(data: Input[Dataset], made: Output[Dataset]) -> int:
    import os

    print("counting in", os.getcwd())
    with open(data.path) as file:
        lines = file.read().splitlines()
    with open(made.path, "w") as file:
        file.write("\n".join(reversed(lines)))
    made.metadata["unified_mlops.uri"] = "s3://bucket/real"
    return len(lines)


@component
def process() -> dict:
    import os

    return {"pid": os.getpid(), "own": os.environ.get("OWN"), "env": os.environ["_KFP_RUNTIME"]}


@component
def die():
    import os

    os._exit(3)


@pytest.fixture
def request_of(tmp_path):
    def request_of(component, artifacts=(), environment=(), resources=(), **parameters):
        import yaml

        name, folder = component.name, tmp_path / component.name
        folder.mkdir(exist_ok=True)
        Compiler().compile(component, str(folder / "spec.yaml"))
        spec = yaml.safe_load((folder / "spec.yaml").read_text())
        (executor,) = spec["deploymentSpec"]["executors"].values()
        (definition,) = spec["components"].values()
        outputs = definition.get("outputDefinitions", {})
        given = {key: {"artifacts": [item]} for key, item in dict(artifacts).items()}
        promised = {
            key: {"artifacts": [{"name": key, "type": item["artifactType"], "uri": f"{folder}/x"}]}
            for key, item in outputs.get("artifacts", {}).items()
        }
        return TaskRequest(
            ref=Ref("kfp", "task", name, f"kfp://local/runs/1/{name}"),
            name=name,
            executor=executor,
            executor_input={
                "inputs": {"parameterValues": parameters, "artifacts": given},
                "outputs": {
                    "parameters": {
                        key: {"outputFile": f"{folder}/{key}"}
                        for key in outputs.get("parameters", {})
                    },
                    "artifacts": promised,
                    "outputFile": str(folder / "executor_output.json"),
                },
            },
            folder=str(folder),
            environment=dict(environment),
            resources=dict(resources),
        )

    return request_of


def test_a_component_reads_and_writes_artifacts_and_has_edges(
    plugin, started, request_of, tmp_path
):
    data = tmp_path / "in.txt"
    data.write_text("a\nb")
    given = {
        "name": "data",
        "type": {"schemaTitle": "system.Dataset"},
        "uri": str(data),
        "metadata": {},
    }
    task = plugin.mlops_run_task(task=request_of(count, artifacts={"data": given}))
    assert (task.state, task.error, task.parameters) == ("SUCCEEDED", "", {"Output": 2})
    (made,) = task.artifacts["made"]
    folder = tmp_path / "count"
    assert (folder / "x").read_text() == "b\na"
    assert f"counting in {folder}" in task.log == (folder / "log.txt").read_text()
    assert task.edges == (
        Edge(f"file://{data}", "INPUT", task.ref.uri, "recorded", "kfp.executor_input"),
        Edge(task.ref.uri, "OUTPUT", f"file://{folder}/x", "recorded", "kfp.executor_output"),
        Edge(f"file://{folder}/x", "DERIVES", "s3://bucket/real", "recorded", "unified_mlops.uri"),
    )
    assert made["uri"] == f"{folder}/x"


def test_each_task_has_a_process_and_an_environment_of_its_own(plugin, started, request_of):
    first = plugin.mlops_run_task(task=request_of(process, environment={"OWN": "1"}))
    again = plugin.mlops_run_task(task=request_of(process))
    one, other = first.parameters["Output"], again.parameters["Output"]
    assert one["pid"] != other["pid"]
    assert (one["own"], other["own"], other["env"]) == ("1", None, "true")


def test_a_component_that_ends_its_process_fails(plugin, started, request_of):
    task = plugin.mlops_run_task(task=request_of(die))
    assert task.state == "FAILED"
    assert "worker" in task.error.lower()


def test_a_task_larger_than_the_cluster_is_refused_instead_of_waiting(plugin, started, request_of):
    with pytest.raises(UnsupportedError, match="needs 64 cpus, and the cluster has 2"):
        plugin.mlops_run_task(task=request_of(process, resources={"cpus": 64}))
