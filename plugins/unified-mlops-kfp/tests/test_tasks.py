# The bodies of components are what users write.
# ruff: noqa: PTH109, PTH123, PTH208
import os
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from kfp import dsl
from kfp.dsl import Dataset, Input, Model, Output

from unified_mlops.records import Edge

component = partial(dsl.component, base_image="python:3.11")


@component
def double(n: int) -> int:
    return n * 2


@component
def process() -> dict:
    import os
    import sys

    return {
        "pid": os.getpid(),
        "group": os.getpgid(0),
        "cwd": os.getcwd(),
        "own": os.environ.get("OWN"),
        "stdin": sys.stdin.read(),
        "compiler": "kfp.compiler" in sys.modules,
    }


@component
def talk(text: str):
    import logging
    import subprocess
    import sys

    print("out " + text)
    print("err " + text, file=sys.stderr)
    subprocess.run(["echo", "child " + text], check=True)
    logging.getLogger("mine").info("logged %s", text)


@component
def fail():
    print("before")
    raise ValueError("on purpose")


@component
def leave(code: int) -> str:
    import sys

    sys.exit(code)


@component
def die():
    import os
    import signal

    os.kill(os.getpid(), signal.SIGSEGV)


@component
def at_exit(path: str):
    import atexit
    import threading
    import time

    def later():
        time.sleep(0.05)
        with open(path, "a") as file:
            file.write("thread ")

    def last():
        with open(path, "a") as file:
            file.write("exit")

    atexit.register(last)
    threading.Thread(target=later).start()


@component
def spawn() -> int:
    import subprocess

    return subprocess.Popen(["sleep", "60"]).pid


@component
def sleep(seconds: float) -> int:
    import os
    import time

    time.sleep(seconds)
    return os.getpid()


@component
def train(data: Input[Dataset], model: Output[Model], copied: Output[Dataset]):
    import shutil

    with open(model.path, "w") as file:
        file.write("weights")
    model.metadata["unified_mlops.uri"] = "mlflow://abc/registered/m/1"
    copied.custom_path = "elsewhere"
    shutil.copyfile(data.path, "elsewhere")


def test_a_component_gives_back_its_parameters(run):
    record = run(double, n=21)
    assert (record.state, record.parameters) == ("SUCCEEDED", {"Output": 42})


def test_each_task_has_its_own_process_group_folder_and_environment(run, monkeypatch):
    monkeypatch.setenv("SET_LATE", "1")
    first = run(process, name="a", environment={"OWN": "1"}).parameters["Output"]
    second = run(process, name="b").parameters["Output"]
    assert first["pid"] == first["group"] != second["pid"]
    assert os.getpid() not in (first["pid"], second["pid"])
    assert (first["own"], second["own"]) == ("1", None)
    assert first["cwd"].endswith("/one/job/a")
    assert first["stdin"] == ""
    assert first["compiler"] is False


def test_all_that_a_task_says_is_in_its_log(run, tmp_path):
    log = run(talk, text="hello").log
    assert (tmp_path / "one" / "job" / "task" / "log.txt").read_text() == log
    for line in ("out hello", "err hello", "child hello", "INFO:mine:logged hello"):
        assert line in log


def test_an_exception_fails_the_task_and_its_traceback_shows_the_source(run):
    record = run(fail)
    assert (record.state, record.error) == ("FAILED", "ValueError: on purpose")
    assert record.log.startswith("before\n")
    assert 'raise ValueError("on purpose")' in record.log


def test_leaving_with_zero_is_success_and_with_another_status_is_not(run):
    assert run(leave, name="zero", code=0).state == "SUCCEEDED"
    record = run(leave, name="three", code=3)
    assert (record.state, record.error) == ("FAILED", "exit status 3")


def test_a_crash_of_the_interpreter_is_a_failed_task(run):
    record = run(die)
    assert (record.state, record.error) == ("FAILED", "killed by SIGSEGV")


def test_threads_and_exit_handlers_finish_before_the_process_ends(run, tmp_path):
    run(at_exit, path=str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "thread exit"


def test_what_a_task_leaves_running_ends_with_it(run, ends):
    assert ends(run(spawn).parameters["Output"])


def test_several_tasks_run_at_once(plugin, request_of):
    requests = [request_of(sleep, name=str(n), seconds=0.5) for n in range(4)]
    start = time.perf_counter()
    with ThreadPoolExecutor(4) as pool:
        records = list(pool.map(plugin.mlops_run_task, requests))
    assert time.perf_counter() - start < 1.5
    assert len({record.parameters["Output"] for record in records}) == 4


def test_a_hundred_concurrent_tasks_keep_their_answers_apart(plugin, request_of):
    requests = [request_of(double, name=str(n), n=n) for n in range(100)]
    with ThreadPoolExecutor(16) as pool:
        records = list(pool.map(plugin.mlops_run_task, requests))
    assert [record.parameters["Output"] for record in records] == [2 * n for n in range(100)]


def test_artifacts_come_back_typed_in_place_and_with_their_edges(run, tmp_path):
    source = tmp_path / "source.csv"
    source.write_text("a,b")
    artifact = {
        "name": "data",
        "type": {"schemaTitle": "system.Dataset"},
        "uri": str(source),
        "metadata": {},
    }
    record = run(train, artifacts={"data": artifact})
    folder = tmp_path / "one" / "job" / "task"
    (model,) = record.artifacts["model"]
    assert model["type"]["schemaTitle"] == "system.Model"
    assert (folder / "copied").read_text() == "a,b"
    task, made = record.ref.uri, f"file://{folder}"
    assert set(record.edges) == {
        Edge(f"file://{source}", "INPUT", task, "recorded", "kfp.executor_input"),
        Edge(task, "OUTPUT", f"{made}/model", "recorded", "kfp.executor_output"),
        Edge(task, "OUTPUT", f"{made}/copied", "recorded", "kfp.executor_output"),
        Edge(
            f"{made}/model",
            "DERIVES",
            "mlflow://abc/registered/m/1",
            "recorded",
            "unified_mlops.uri",
        ),
    }


@component
def measure(text: str) -> dict:
    import sys

    return {"text": text, "length": len(text), "argv": sys.argv.count(text), "in": len(sys.argv[2])}


@component
def flood(megabytes: int):
    line = "x" * 1023 + "\n"
    for _ in range(megabytes):
        print(line * 1024, end="")
    print("the end")


@component
def write(path: str):
    with open(path, "w") as file:
        file.write("x" * 100_000)


@component
def promise(data: Output[Dataset]):
    data.custom_path = "never-written"


@pytest.mark.parametrize(
    "text",
    ['it\'s "quoted"', "two\nlines", "{{$.inputs.parameters['x']}}", "python3", "{{$}}", "ü\0"],
)
def test_a_value_reaches_its_component_as_it_is(run, text):
    assert run(measure, text=text).parameters["Output"]["text"] == text


def test_a_parameter_of_a_megabyte_reaches_its_component(run):
    record = run(measure, text="ü" * 1_000_000)
    found = record.parameters["Output"]
    assert found["length"] == 1_000_000
    assert found["in"] > 1_000_000  # as on a KFP server, it stands in the arguments


def test_a_flood_of_text_is_in_the_file_and_only_its_end_in_the_record(run, tmp_path):
    tracemalloc.start()
    record = run(flood, megabytes=200)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    log = tmp_path / "one" / "job" / "task" / "log.txt"
    assert log.stat().st_size > 200 * 1024 * 1024
    assert len(record.log) <= 1_000_000 and record.log.endswith("the end\n")
    assert most < 60_000_000  # modules that are imported only now among them
    log.unlink()


def test_a_full_disk_fails_the_task(plugin, request_of, tmp_path):
    record = plugin.mlops_run_task(request_of(write, name="artifact", path="/dev/full"))
    assert record.error == "OSError: [Errno 28] No space left on device"
    request = request_of(double, name="output", n=1)
    Path(request.executor_input["outputs"]["outputFile"]).symlink_to("/dev/full")
    record = plugin.mlops_run_task(request)
    assert record.state == "FAILED" and "No space left on device" in record.error
    request = request_of(double, name="log", n=1)
    Path(request.folder, "log.txt").symlink_to("/dev/full")
    assert plugin.mlops_run_task(request).state == "SUCCEEDED"
    request = request_of(talk, name="loud", text="a")
    Path(request.folder, "log.txt").symlink_to("/dev/full")
    assert plugin.mlops_run_task(request).state == "FAILED"


def test_what_cannot_be_read_afterwards_fails_the_task(run):
    record = run(promise)
    assert record.state == "FAILED"
    assert record.error.startswith("what it left cannot be read: FileNotFoundError")
    assert not record.artifacts


def read_asset(asset: dsl.EmbeddedInput[Dataset]) -> dict:
    import os

    return {"names": sorted(os.listdir(asset.path)), "path": asset.path}


def test_a_component_finds_the_files_embedded_in_it_and_they_are_gone_afterwards(run, tmp_path):
    folder = tmp_path / "assets"
    folder.mkdir()
    for name in ("a.txt", "b.txt"):
        (folder / name).write_text(name)
    found = run(component(read_asset, embedded_artifact_path=str(folder))).parameters["Output"]
    assert found["names"] == ["a.txt", "b.txt"]
    assert not Path(found["path"]).exists()


def test_a_component_with_an_environment_of_its_own_runs_as_any_other(run):
    assert run(component(double.python_func, use_venv=True), n=2).parameters == {"Output": 4}
