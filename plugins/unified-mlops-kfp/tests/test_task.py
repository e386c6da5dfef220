# The bodies of components are what users write.
# ruff: noqa: PTH109, PTH123
import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from kfp import dsl
from kfp.dsl import Dataset, Input, Model, Output

from unified_mlops.errors import BackendError, ConfigError, UnsupportedError
from unified_mlops.records import Edge
from unified_mlops_kfp.plugin import KfpPlugin

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
def say_and_sleep():
    import os
    import time

    print(os.getpid())
    time.sleep(60)


@component
def train(data: Input[Dataset], model: Output[Model], copied: Output[Dataset]):
    import shutil

    with open(model.path, "w") as file:
        file.write("weights")
    model.metadata["unified_mlops.uri"] = "mlflow://abc/registered/m/1"
    copied.custom_path = "elsewhere"
    shutil.copyfile(data.path, "elsewhere")


@component
def numpy_draw() -> float:
    import numpy

    return float(numpy.random.random())


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ends(pid):
    deadline = time.monotonic() + 5
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not alive(pid)


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


def test_what_a_task_leaves_running_ends_with_it(run):
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


def test_a_container_component_is_refused(plugin, request_of):
    request = request_of(double, n=1)
    request.executor["container"]["command"] = ["echo"]
    with pytest.raises(UnsupportedError, match="not a lightweight Python component"):
        plugin.mlops_run_task(request)


def test_packages_that_are_there_are_not_installed_and_others_are_named(run):
    index = ["https://user:secret@index.example"]
    met = component(
        double.python_func, packages_to_install=["PyYAML>=5", "kfp==2.0.0"], pip_index_urls=index
    )
    assert run(met, name="met", n=1).state == "SUCCEEDED"
    unmet = component(
        double.python_func, packages_to_install=["PyYAML>=999", "not-there"], pip_index_urls=index
    )
    with pytest.raises(UnsupportedError, match="not installed here: PyYAML>=999, not-there") as e:
        run(unmet, name="unmet", n=1)
    assert "secret" not in str(e.value)


def test_preloaded_modules_are_there_and_draw_different_numbers(tmp_path, request_of):
    plugin = KfpPlugin(tmp_path, preload="numpy, colorsys")
    draws = {
        plugin.mlops_run_task(request_of(numpy_draw, name=str(n))).parameters["Output"]
        for n in range(3)
    }
    assert len(draws) == 3


def test_a_module_that_cannot_be_preloaded_is_an_error_of_the_config(tmp_path, request_of):
    plugin = KfpPlugin(tmp_path, preload="no_such_module")
    with pytest.raises(ConfigError, match="no_such_module.*cannot be imported"):
        plugin.mlops_run_task(request_of(double, n=1))


def test_the_server_and_its_tasks_end_with_their_owner(tmp_path, request_of):
    plugin = KfpPlugin(tmp_path)
    plugin.mlops_run_task(request_of(double, name="first", n=1))
    server = plugin._launcher._server
    del plugin
    assert server.poll() == 0


def test_no_process_is_left_when_the_owner_is_killed(tmp_path):
    script = textwrap.dedent(
        """
        import json, sys, threading
        from unified_mlops_kfp.launcher import Launcher
        launcher = Launcher([])
        source = "def f():\\n    import os, time; print(os.getpid(), flush=True); time.sleep(60)"
        given = {"inputs": {}, "outputs": {"outputFile": sys.argv[1] + "/o.json"}}
        launcher.run({"source": source, "function": "f", "executor_input": given,
                      "environment": {}, "folder": sys.argv[1], "log": sys.argv[1] + "/log"})
        """
    )
    owner = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])
    log = tmp_path / "log"
    deadline = time.monotonic() + 20
    while not (log.exists() and log.read_text().strip()) and time.monotonic() < deadline:
        time.sleep(0.02)
    pid = int(log.read_text())
    assert alive(pid)
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    assert ends(pid)


def test_a_dead_server_is_said_so_and_replaced_and_takes_its_tasks_along(tmp_path, request_of):
    plugin = KfpPlugin(tmp_path)
    plugin.mlops_run_task(request_of(double, name="first", n=1))
    request = request_of(say_and_sleep, name="lost")
    log = Path(request.folder, "log.txt")
    with ThreadPoolExecutor(1) as pool:
        lost = pool.submit(plugin.mlops_run_task, request)
        while not (log.exists() and log.read_text().strip()):
            time.sleep(0.01)
        plugin._launcher._server.kill()
        with pytest.raises(BackendError, match="fork server ended"):
            lost.result()
    assert ends(int(log.read_text()))
    assert plugin.mlops_run_task(request_of(double, name="next", n=2)).state == "SUCCEEDED"
