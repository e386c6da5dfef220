"""Pipelines and their tasks, by KFP's own compiler and executor."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

from unified_mlops.errors import ArgumentError, UnsupportedError
from unified_mlops.hookspecs import PipelineHooks, TaskHooks
from unified_mlops.records import (
    Edge,
    Node,
    PipelineRecord,
    Ref,
    TaskRecord,
    TaskRequest,
    TaskState,
)
from unified_mlops.testing.memory.store import PLUGIN, Store

_CHILD = """
import json, sys
from kfp.dsl.executor import Executor
work = json.load(sys.stdin)
scope = {"__name__": "component"}
exec(compile(work["source"], "component.py", "exec"), scope)
Executor(work["input"], scope[work["function"]]).execute()
"""


class MemoryPipelines(Store, PipelineHooks, TaskHooks):
    """Lightweight Python components, each in a new interpreter."""

    def __init__(self, workspace: Path) -> None:
        super().__init__(workspace)
        self._children: dict[str, subprocess.Popen[str]] = {}
        self._stopped: set[str] = set()

    def mlops_load_pipeline(self, template: Any) -> PipelineRecord:
        """Read a compiled pipeline, or compile it first."""
        import yaml

        with TemporaryDirectory() as folder:
            path = _compiled(template, Path(folder))
            try:
                spec: Any = next(yaml.safe_load_all(path.read_text("utf-8")), None)
                name = spec["pipelineInfo"]["name"]
            except (yaml.YAMLError, KeyError, TypeError) as error:
                raise _no_pipeline(template) from error
        text = json.dumps(spec, sort_keys=True, default=str)
        key = f"{name}@{sha256(text.encode()).hexdigest()[:16]}"
        ref = Ref(PLUGIN, "pipeline", key, f"kfp:pipeline/{quote(key, safe='@')}")
        return self._keep(PipelineRecord(ref=ref, name=name, spec=spec), name)

    def mlops_run_task(self, task: TaskRequest) -> TaskRecord:
        """Run a component and read back what it wrote."""
        status, said = self._execute(task)
        state: TaskState = "FAILED" if status else "SUCCEEDED"
        if task.folder in self._stopped:
            state = "CANCELLED"
        output = Path(task.executor_input["outputs"]["outputFile"])
        written = json.loads(output.read_text("utf-8")) if output.is_file() else {}
        found = written.get("artifacts", {}).items()
        record = TaskRecord(
            ref=replace(task.ref, plugin=PLUGIN),
            name=task.name,
            state=state,
            parameters=written.get("parameterValues", {}),
            artifacts={name: held["artifacts"] for name, held in found},
            log=said,
            error=said.strip().rpartition("\n")[2] if state == "FAILED" else "",
        )
        self._keep(record, task.name)
        self._link(record, task.executor_input)
        return record

    def mlops_cancel_task(self, task: TaskRequest) -> bool:
        """Kill the interpreter with its process group."""
        child = self._children.get(task.folder)
        if child is None:
            return False
        self._stopped.add(task.folder)
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        return True

    def mlops_check_task(self, runner: Ref, executor: Mapping[str, Any]) -> str:  # noqa: ARG002
        """Take lightweight Python components and nothing else."""
        return "" if _component(executor) else "no lightweight Python component: use @dsl.component"

    def _execute(self, task: TaskRequest) -> tuple[int, str]:
        """Run a component in a new interpreter; its status and what it wrote."""
        found = _component(task.executor)
        if found is None:
            raise UnsupportedError(
                f"task {task.name!r} is no lightweight Python component", hint="use @dsl.component"
            )
        work = {"source": found[0], "function": found[1], "input": task.executor_input}
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD],
            env={**os.environ, **task.environment, "_KFP_RUNTIME": "true"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._children[task.folder] = child
        try:
            said, _ = child.communicate(json.dumps(work))
        finally:
            del self._children[task.folder]
        folder = Path(task.folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "log.txt").write_text(said, "utf-8")
        return child.returncode, said

    def _link(self, record: TaskRecord, executor_input: Mapping[str, Any]) -> None:
        """Observe what a task read and wrote."""
        task = record.ref.uri
        inputs = executor_input.get("inputs", {}).get("artifacts", {}).values()
        read = [item["uri"] for held in inputs for item in held["artifacts"]]
        wrote = [item["uri"] for held in record.artifacts.values() for item in held]
        edges = [
            *(Edge(uri, "INPUT", task) for uri in read),
            *(Edge(task, "OUTPUT", uri) for uri in wrote),
        ]
        nodes = [Node(uri, "dataset", uri.rpartition("/")[2]) for uri in (*read, *wrote)]
        self._observe(record.ref, record.name, edges, nodes)


def _compiled(template: Any, folder: Path) -> Path:
    """The file of a compiled pipeline; a function is compiled into `folder`."""
    if isinstance(template, str | Path):
        if not Path(template).is_file():
            raise _no_pipeline(template)
        return Path(template)
    if not hasattr(template, "pipeline_spec"):
        raise _no_pipeline(template)
    from kfp import compiler

    target = folder / "pipeline.yaml"
    compiler.Compiler().compile(template, str(target))
    return target


def _no_pipeline(template: Any) -> ArgumentError:
    return ArgumentError(
        f"{template!r} is no pipeline",
        hint="give a function under @dsl.pipeline, or the path of a compiled file",
    )


def _component(executor: Mapping[str, Any]) -> tuple[str, str] | None:
    """The source of a lightweight component and the function to execute."""
    container = executor.get("container", {})
    arguments = list(container.get("args", ()))
    if "--function_to_execute" not in arguments:
        return None
    return container["command"][-1], arguments[arguments.index("--function_to_execute") + 1]
