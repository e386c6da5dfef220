# The bodies of components are what users write.
# ruff: noqa: PTH104, PTH109, PTH123
import threading
import time
import zipfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest
from kfp import dsl
from kfp.compiler import Compiler
from kfp.dsl import Dataset, Input, Output

from unified_mlops.errors import UnsupportedError
from unified_mlops.records import Edge, Ref, TaskRequest
from unified_mlops_ray import tasks

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


@component
def leave(code: int, note: dsl.OutputPath(str)):
    import logging

    logging.info("leaving with %s", code)
    with open(note, "w") as file:
        file.write("told")
    raise SystemExit(code)


@component
def last_for_ever(pids: str):
    import os
    import signal
    import subprocess

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    shell = subprocess.Popen(
        ["sh", "-c", "trap '' TERM; sleep 600 & echo $!; wait"], stdout=subprocess.PIPE, text=True
    )
    with open(pids + ".part", "w") as file:
        file.write(f"{os.getpid()} {shell.pid} {shell.stdout.readline()}")
    os.rename(pids + ".part", pids)
    while True:
        shell.wait()


@component(packages_to_install=["greeting-of-a-test"])
def greet() -> list:
    import subprocess
    import sys

    from greeting_of_a_test import WORD

    told = "from greeting_of_a_test import WORD; print(WORD)"
    other = subprocess.check_output([sys.executable, "-c", told], text=True)
    return [WORD, other.strip()]


@pytest.fixture
def request_of(tmp_path):
    def request_of(component, artifacts=(), environment=(), resources=(), root="", **parameters):
        import yaml

        name, folder = component.name, tmp_path / component.name
        folder.mkdir(exist_ok=True)
        Compiler().compile(component, str(folder / "spec.yaml"))
        spec = yaml.safe_load((folder / "spec.yaml").read_text())
        (executor,) = spec["deploymentSpec"]["executors"].values()
        (definition,) = spec["components"].values()
        outputs = definition.get("outputDefinitions", {})
        given = {key: {"artifacts": [item]} for key, item in dict(artifacts).items()}
        place = f"{root or folder}/x"
        promised = {
            key: {"artifacts": [{"name": key, "type": item["artifactType"], "uri": place}]}
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
    wants = {"cpus": 0.5, "memory_bytes": 2e8}
    again = plugin.mlops_run_task(task=request_of(process, resources=wants))
    one, other = first.parameters["Output"], again.parameters["Output"]
    assert one["pid"] != other["pid"]
    assert (one["own"], other["own"], other["env"]) == ("1", None, "true")


def test_a_component_that_ends_its_process_fails(plugin, started, request_of):
    task = plugin.mlops_run_task(task=request_of(die))
    assert task.state == "FAILED"
    assert "worker" in task.error.lower()


@pytest.mark.parametrize(
    ("resources", "fact"),
    [
        ({"cpus": 64}, "needs 64 cpus, and the cluster has no machine with more than 2"),
        ({"memory_bytes": 1e15}, r"needs 1e\+15 memory_bytes, and the cluster has no machine"),
        ({"gpus": 1}, "needs 1 gpus, and the cluster has no machine with more than 0"),
    ],
)
def test_a_task_too_large_for_the_cluster_is_refused_instead_of_waiting(
    plugin, started, request_of, resources, fact
):
    with pytest.raises(UnsupportedError, match=fact):
        plugin.mlops_run_task(task=request_of(process, resources=resources))


def test_no_task_is_put_on_a_machine_that_only_the_others_make_large_enough(request_of):
    machines = [{"Alive": True, "Resources": {"CPU": 4}}, {"Alive": False, "Resources": {"CPU": 8}}]
    with pytest.raises(UnsupportedError, match="no machine with more than 4"):
        tasks._options(request_of(process, resources={"cpus": 8}), machines * 2)
    assert tasks._options(request_of(process, resources={"cpus": 4}), machines) == {"num_cpus": 4}


def test_a_component_that_leaves_by_itself_says_how_and_its_log_is_there(
    plugin, started, request_of
):
    task = plugin.mlops_run_task(task=request_of(leave, code=0))
    assert (task.state, task.parameters) == ("SUCCEEDED", {"note": "told"})
    assert "leaving with 0" in task.log
    task = plugin.mlops_run_task(task=request_of(leave, code=4))
    assert (task.state, task.error, task.parameters) == ("FAILED", "exit status 4", {})


# --- stopping ---


def test_a_cancelled_task_answers_and_none_of_its_processes_is_left(
    plugin, started, request_of, tmp_path
):
    request, pids = request_of(last_for_ever, pids=f"{tmp_path}/pids"), tmp_path / "pids"
    answers = []
    thread = threading.Thread(
        target=lambda: answers.append(plugin.mlops_run_task(task=request)), daemon=True
    )
    thread.start()
    _until(pids.exists)
    family = [int(pid) for pid in pids.read_text().split()]
    assert len(family) == 3
    assert plugin.mlops_cancel_task(task=request)
    thread.join(timeout=10)
    (task,) = answers
    assert (task.state, task.error, task.artifacts) == ("CANCELLED", "", {})
    _until(lambda: not any(_lives(pid) for pid in family))
    assert not plugin.mlops_cancel_task(task=request)


def test_a_task_that_waits_for_its_turn_can_be_cancelled(plugin, started, request_of, tmp_path):
    request, pids = request_of(last_for_ever, pids=f"{tmp_path}/pids"), tmp_path / "pids"
    request = replace(request, resources={"cpus": 2})
    waiting = request_of(process)
    answers = {}

    def run(name, task):
        answers[name] = plugin.mlops_run_task(task=task)

    first = threading.Thread(target=run, args=("first", request), daemon=True)
    first.start()
    _until(pids.exists)
    second = threading.Thread(target=run, args=("second", waiting), daemon=True)
    second.start()
    _until(lambda: plugin.mlops_cancel_task(task=waiting))
    second.join(timeout=10)
    assert answers["second"].state == "CANCELLED"
    assert first.is_alive()
    plugin.mlops_cancel_task(task=request)
    first.join(timeout=10)
    assert answers["first"].state == "CANCELLED"


def _lives(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def _until(done):
    deadline = time.monotonic() + 20
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# --- what cannot be run ---


def test_containers_are_refused_with_what_to_do_instead(plugin, request_of):
    @dsl.container_component
    def shell():
        return dsl.ContainerSpec(image="alpine", command=["true"])

    request = request_of(shell)
    problem = plugin.mlops_check_task(runner=request.ref, executor=request.executor)
    assert 'runner="embedded", for containers with container_runner below [plugins.kfp]' in problem
    executor = request_of(process).executor
    assert plugin.mlops_check_task(runner=request.ref, executor=executor) == ""
    with pytest.raises(UnsupportedError, match="task 'shell' cannot be run: Ray runs lightweight"):
        plugin.mlops_run_task(task=request)


def test_artifacts_in_the_memory_of_this_process_are_refused(plugin, request_of):
    with pytest.raises(UnsupportedError, match="in the memory of one process"):
        plugin.mlops_run_task(task=request_of(count, root="memory://runs"))


# --- other places, other packages ---


@pytest.fixture(scope="module")
def s3():
    """Variables for a real S3 server on loopback; it has the bucket `bucket`."""
    import fsspec
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    variables = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "NO_PROXY": "127.0.0.1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        fsspec.filesystem("s3").mkdir("bucket")
        yield variables
        fsspec.filesystem("s3").clear_instance_cache()
    server.stop()


def test_artifacts_in_a_store_are_read_and_written_by_the_worker(
    plugin, started, request_of, tmp_path, s3
):
    import fsspec

    store = fsspec.filesystem("s3")
    store.pipe_file("bucket/in.txt", b"a\nb")
    given = {"name": "data", "type": {"schemaTitle": "system.Dataset"}, "metadata": {}}
    given["uri"] = "s3://bucket/in.txt"
    request = request_of(count, artifacts={"data": given}, environment=s3, root="s3://bucket/runs")
    task = plugin.mlops_run_task(task=request)
    assert (task.state, task.error, task.parameters) == ("SUCCEEDED", "", {"Output": 2})
    assert task.artifacts["made"][0]["uri"] == "s3://bucket/runs/x"
    assert store.cat_file("bucket/runs/x") == b"b\na"
    assert [(edge.source, edge.target) for edge in task.edges][:2] == [
        ("s3://bucket/in.txt", task.ref.uri),
        (task.ref.uri, "s3://bucket/runs/x"),
    ]
    assert not (tmp_path / "count" / ".copies").exists()


def test_what_a_worker_leaves_on_another_machine_comes_back_in_the_answer(tmp_path):
    here, there = tmp_path / "seen.txt", tmp_path / "job" / "task" / "log.txt"
    here.write_text("as it is")
    tasks._keep({str(here): "other", str(there): "log"})
    assert (here.read_text(), there.read_text()) == ("as it is", "log")


def test_packages_that_a_worker_lacks_are_installed_for_the_task(
    plugin, started, request_of, tmp_path
):
    wheel = tmp_path / "greeting_of_a_test-1.2-py3-none-any.whl"
    _build(wheel)
    task = plugin.mlops_run_task(task=_needing(request_of(greet), str(wheel)))
    assert (task.error, task.parameters) == ("", {"Output": ["hello", "hello"]})
    assert not (tmp_path / "greet" / ".packages").exists()


def test_packages_that_cannot_be_installed_are_told(plugin, started, request_of, tmp_path):
    nowhere = f"{tmp_path}/greeting_of_a_test-1.0-py3-none-any.whl"
    task = plugin.mlops_run_task(task=_needing(request_of(greet), nowhere))
    assert task.state == "FAILED"
    assert task.error.startswith("its packages cannot be installed: error: ")
    assert nowhere in task.error


def _needing(request: TaskRequest, wheel: str) -> TaskRequest:
    """The request with a wheel in place of the package's name."""
    container = request.executor["container"]
    command = [part.replace("'greeting-of-a-test'", repr(wheel)) for part in container["command"]]
    return replace(request, executor={"container": {**container, "command": command}})


def _build(wheel: Path) -> None:
    """A wheel with one module that holds one word."""
    name, version = wheel.name.split("-")[:2]
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(wheel, "w") as content:
        content.writestr(f"{name}.py", "WORD = 'hello'\n")
        content.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        content.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        content.writestr(f"{info}/RECORD", "")
