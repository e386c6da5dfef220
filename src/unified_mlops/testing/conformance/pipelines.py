"""Standard tests of pipeline definitions and of tasks."""

# ruff: noqa: D102 - the name of a test says what it sees to

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from unified_mlops.errors import ArgumentError, UnsupportedError
from unified_mlops.hookspecs import Hooks
from unified_mlops.records import PipelineRecord, Ref, TaskRecord, TaskRequest
from unified_mlops.testing.conformance import components
from unified_mlops.testing.conformance.checks import check_record, refused
from unified_mlops.testing.conformance.kit import Kit, owner_of

Execute = Callable[..., TaskRecord]


class PipelineConformance(Kit):
    """`PipelineHooks` and `TaskHooks`."""

    @pytest.fixture
    def pipeline(self) -> Any:
        """A pipeline function of two tasks, `twice-doubled`."""
        return components.pipeline()

    # --- load_pipeline ---

    def test_load_pipeline__compiles_a_function(self, hooks: Hooks, pipeline: Any) -> None:
        record = hooks.mlops_load_pipeline(template=pipeline)
        check_record(record, PipelineRecord, "pipeline")
        assert record.name == "twice-doubled"
        assert sorted(record.spec["root"]["dag"]["tasks"]) == ["double", "double-2"]

    def test_load_pipeline__reads_a_compiled_file_as_the_same(
        self, hooks: Hooks, pipeline: Any, tmp_path: Path
    ) -> None:
        compiler = pytest.importorskip("kfp.compiler")
        path = tmp_path / "größe 1.yaml"
        compiler.Compiler().compile(pipeline, str(path))
        made = hooks.mlops_load_pipeline(template=pipeline)
        for template in (path, str(path)):
            read = hooks.mlops_load_pipeline(template=template)
            assert read.ref == made.ref and read.spec == made.spec

    def test_load_pipeline__refuses_anything_else(self, hooks: Hooks) -> None:
        for wrong in (42, None, "none.yaml", print):
            with refused(ArgumentError):
                hooks.mlops_load_pipeline(template=wrong)

    def test_load_pipeline__refuses_a_file_that_holds_no_pipeline(
        self, hooks: Hooks, tmp_path: Path
    ) -> None:
        for number, text in enumerate(["", "a: 1", "[1, 2]", "a: [", "just words"]):
            path = tmp_path / f"{number}.yaml"
            path.write_text(text, "utf-8")
            with refused(ArgumentError):
                hooks.mlops_load_pipeline(template=path)

    # --- run_task ---

    @pytest.fixture
    def execute(self, plugin: Any, hooks: Hooks, tmp_path: Path) -> Execute:
        """Runs one of `components` with these inputs, in a folder of its name and their number."""
        owner, folders = owner_of(plugin) or "own", count(1)

        def execute(name: str, inputs: Mapping[str, Any], **rest: Any) -> TaskRecord:
            folder = tmp_path / f"{name} {next(folders)}"
            task = task_request(folder, owner, name, inputs, **rest)
            record = hooks.mlops_run_task(task=task)
            assert record.ref.uri == task.ref.uri, "the task is known by another name now"
            return record

        return execute

    def test_run_task__answers_with_the_outputs(self, execute: Execute) -> None:
        record = execute("double", {"x": 21})
        check_record(record, TaskRecord, "task")
        assert (record.name, record.state, record.error) == ("double", "SUCCEEDED", "")
        assert record.parameters == {"Output": 42}
        assert type(record.parameters["Output"]) is int

    def test_run_task__keeps_what_was_printed(self, execute: Execute) -> None:
        assert "doubling 21" in execute("double", {"x": 21}).log

    def test_run_task__answers_for_a_component_that_fails(self, execute: Execute) -> None:
        record = execute("fail", {"x": 7})
        check_record(record, TaskRecord, "task")
        assert record.state == "FAILED"
        assert "cannot take 7" in record.error
        assert not record.parameters

    def test_run_task__takes_the_exit_code(self, execute: Execute) -> None:
        for code, state in ((0, "SUCCEEDED"), (3, "FAILED")):
            assert execute("leave", {"code": code}).state == state

    def test_run_task__hands_back_artifacts_as_kfp_writes_them(
        self, execute: Execute, tmp_path: Path
    ) -> None:
        record = execute("write", {"text": "größe"}, artifact="data")
        (artifact,) = record.artifacts["data"]
        path = tmp_path / "write 1" / "data"
        assert artifact["uri"] in {str(path), f"file://{path}"}
        assert artifact["metadata"] == {"rows": 1}
        assert path.read_text("utf-8") == "größe"

    def test_run_task__has_a_process_and_environment_of_its_own(self, execute: Execute) -> None:
        variable = f"TASK_{uuid4().hex.upper()}"
        inputs = {"text": "", "variable": variable}
        record = execute("who", inputs, environment={variable: "größe"})
        answer = record.parameters["Output"]
        assert answer["value"] == "größe" and variable not in os.environ
        assert answer["pid"] != os.getpid()

    def test_run_task__takes_a_parameter_too_long_for_a_command_line(
        self, execute: Execute
    ) -> None:
        inputs = {"text": "ü" * 300_000, "variable": "none"}
        record = execute("who", inputs)
        assert record.parameters["Output"]["length"] == 300_000, record.error

    def test_run_task__refuses_an_executor_it_does_not_know(self, execute: Execute) -> None:
        with refused(UnsupportedError):
            execute("double", {"x": 1}, executor={"mystery": {}})

    # --- cancel_task ---

    def test_cancel_task__ends_a_task_and_what_it_started(
        self, plugin: Any, hooks: Hooks, tmp_path: Path
    ) -> None:
        file, owner = tmp_path / "processes", owner_of(plugin) or "own"
        task = task_request(tmp_path / "linger", owner, "linger", {"file": str(file)})
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(hooks.mlops_run_task, task=task)
            wait_for(lambda: file.exists() or running.done(), "the task did not begin")
            assert not running.done(), running.result().error
            assert hooks.mlops_cancel_task(task=task) is True
            record = running.result(timeout=10)
        check_record(record, TaskRecord, "task")
        assert (record.state, record.parameters) == ("CANCELLED", {})
        processes = file.read_text("utf-8").split()
        wait_for(lambda: not any(map(alive, processes)), "a process of it goes on")

    def test_cancel_task__says_that_nothing_was_running(
        self, plugin: Any, hooks: Hooks, tmp_path: Path
    ) -> None:
        owner = owner_of(plugin) or "own"
        task = task_request(tmp_path / "double", owner, "double", {"x": 1})
        assert hooks.mlops_cancel_task(task=task) is False
        assert hooks.mlops_run_task(task=task).state == "SUCCEEDED"
        assert hooks.mlops_cancel_task(task=task) is False

    # --- check_task ---

    def test_check_task__has_nothing_against_a_lightweight_component(
        self, plugin: Any, hooks: Hooks
    ) -> None:
        executor = components.executor("double")
        assert hooks.mlops_check_task(runner=job(plugin), executor=executor) == ""

    def test_check_task__says_what_cannot_be_run(self, plugin: Any, hooks: Hooks) -> None:
        problem = hooks.mlops_check_task(runner=job(plugin), executor={"mystery": {}})
        assert isinstance(problem, str) and problem


def job(plugin: Any) -> Ref:
    """A job whose tasks this plugin runs."""
    return Ref(owner_of(plugin) or "own", "pipeline_run", "job", "kfp://local/runs/job")


def wait_for(done: Callable[[], bool], problem: str) -> None:
    """Wait until something is so, half a minute at most."""
    last = time.monotonic() + 30
    while not done():
        assert time.monotonic() < last, problem
        time.sleep(0.02)


def alive(process: str) -> bool:
    """Whether a process of this machine still runs."""
    line = ["ps", "-o", "stat=", "-p", process]
    state = subprocess.run(line, capture_output=True, text=True, check=False).stdout.strip()
    return bool(state) and not state.startswith("Z")


def task_request(
    folder: Path,
    owner: str,
    name: str,
    inputs: Mapping[str, Any],
    *,
    executor: Mapping[str, Any] | None = None,
    artifact: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> TaskRequest:
    """A request to run one of `components`, asked of its owner, with all files in a new folder."""
    folder.mkdir(parents=True)
    key = uuid4().hex
    return TaskRequest(
        ref=Ref(owner, "task", f"{key}/{name}", f"kfp://local/runs/{key}/{name}"),
        name=name,
        executor=executor or components.executor(name),
        executor_input={
            "inputs": {"parameterValues": dict(inputs)},
            "outputs": _outputs(folder, artifact),
        },
        folder=str(folder),
        environment=dict(environment or {}),
    )


def _outputs(folder: Path, artifact: str | None) -> dict[str, Any]:
    written = {
        "name": artifact,
        "type": {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"},
        "uri": str(folder / f"{artifact}"),
        "metadata": {},
    }
    return {
        "parameters": {"Output": {"outputFile": str(folder / "Output")}},
        "artifacts": {artifact: {"artifacts": [written]}} if artifact else {},
        "outputFile": str(folder / "executor_output.json"),
    }
