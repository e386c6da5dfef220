# The bodies of components are what users write.
# ruff: noqa: PTH102, PTH106, PTH109
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from kfp import dsl

from unified_mlops.errors import ConfigError, UnsupportedError
from unified_mlops.records import Ref
from unified_mlops_kfp.plugin import KfpPlugin

RUN = Ref("kfp", "pipeline_run", "job", "kfp://local/runs/job")

component = partial(dsl.component, base_image="python:3.11")


@component
def look() -> dict:
    import os
    import sys

    print("looking")
    os.environ["LEFT"] = "1"
    sys.path.append("/left")
    return {"pid": os.getpid(), "cwd": os.getcwd(), "own": os.environ.get("OWN")}


@component
def fail():
    raise ValueError("on purpose")


@component
def leave(code: int):
    import sys

    sys.exit(code)


@component
def count(folder: str) -> int:
    import os
    import time

    os.mkdir(folder)  # fails where another one is at work
    time.sleep(0.05)
    os.rmdir(folder)
    return 1


@pytest.fixture
def plugin(tmp_path):
    return KfpPlugin(tmp_path, mode="inprocess")


def test_a_component_runs_in_this_process_and_leaves_it_as_it_was(run, capsys):
    before = (dict(os.environ), os.getcwd(), list(sys.path), sys.argv, sys.stdout)
    record = run(look, environment={"OWN": "1"})
    found = record.parameters["Output"]
    assert (found["pid"], found["own"]) == (os.getpid(), "1")
    assert found["cwd"].endswith("/one/job/task")
    assert (dict(os.environ), os.getcwd(), list(sys.path), sys.argv, sys.stdout) == before
    assert "ephemeral_component" not in sys.modules
    assert record.log == capsys.readouterr().out == "looking\n"


def test_breakpoint_opens_the_debugger(tmp_path):
    script = """
import pathlib, sys
from unified_mlops.records import Ref, TaskRequest
from unified_mlops_kfp.plugin import KfpPlugin
folder = pathlib.Path(sys.argv[1])
source = "def f(n: int) -> int:\\n    breakpoint()\\n    return n"
command = ["sh", "-c", "--component_module_path", source]
executor = {"container": {"command": command, "args": ["--function_to_execute", "f"]}}
given = {"inputs": {"parameterValues": {"n": 21}}, "outputs": {
    "parameters": {"Output": {"outputFile": str(folder / "Output")}},
    "outputFile": str(folder / "out.json")}}
task = TaskRequest(ref=Ref("kfp", "task", "a/t", "kfp://local/runs/a/t"), name="t",
    executor=executor, executor_input=given, folder=str(folder))
record = KfpPlugin(folder, mode="inprocess").mlops_run_task(task)
print("gave", record.parameters, record.error)
"""
    answer = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        input="p n * 2\n!n = 5\ncontinue\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert "(Pdb) 42" in answer.stdout
    assert "gave {'Output': 5}" in answer.stdout
    assert "(Pdb) 42" in (tmp_path / "log.txt").read_text()


def test_what_fails_here_fails_the_task_only(run):
    record = run(fail)
    assert (record.state, record.error) == ("FAILED", "ValueError: on purpose")
    assert 'raise ValueError("on purpose")' in record.log
    assert run(leave, name="zero", code=0).state == "SUCCEEDED"
    assert run(leave, name="three", code=3).error == "exit status 3"


def test_components_run_one_at_a_time(plugin, request_of, tmp_path):
    requests = [request_of(count, name=str(n), folder=str(tmp_path / "x")) for n in range(4)]
    with ThreadPoolExecutor(4) as pool:
        records = list(pool.map(plugin.mlops_run_task, requests))
    assert [record.state for record in records] == ["SUCCEEDED"] * 4


def test_packages_that_are_missing_are_named_before_anything_runs(plugin, request_of):
    unmet = component(look.python_func, packages_to_install=["PyYAML>=999", "not-there", "PyYAML"])
    request = request_of(unmet)
    assert "PyYAML>=999, not-there;" in plugin.mlops_check_task(RUN, request.executor)
    with pytest.raises(UnsupportedError, match="not installed here"):
        plugin.mlops_run_task(request)


def test_an_unknown_mode_is_an_error_of_the_config(tmp_path):
    with pytest.raises(ConfigError, match="mode in .* is 'thread'") as caught:
        KfpPlugin(tmp_path, mode="thread")
    assert caught.value.hint == "one of: 'process', 'inprocess'"
