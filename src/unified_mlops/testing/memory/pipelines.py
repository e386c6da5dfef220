"""Pipelines and their tasks, by KFP's own compiler and executor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

from unified_mlops.errors import ArgumentError, UnsupportedError
from unified_mlops.hookspecs import PipelineHooks, TaskHooks
from unified_mlops.records import Edge, Node, PipelineRecord, Ref, TaskRecord, TaskRequest
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
        child = _execute(task)
        output = Path(task.executor_input["outputs"]["outputFile"])
        written = json.loads(output.read_text("utf-8")) if output.is_file() else {}
        found = written.get("artifacts", {}).items()
        record = TaskRecord(
            ref=replace(task.ref, plugin=PLUGIN),
            name=task.name,
            state="FAILED" if child.returncode else "SUCCEEDED",
            parameters=written.get("parameterValues", {}),
            artifacts={name: held["artifacts"] for name, held in found},
            log=child.stdout,
            error=child.stdout.strip().rpartition("\n")[2] if child.returncode else "",
        )
        self._keep(record, task.name)
        self._link(record, task.executor_input)
        return record

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


def _execute(task: TaskRequest) -> subprocess.CompletedProcess[str]:
    """Run a component in a new interpreter, what it needs on standard input."""
    source, function = _component(task)
    work = {"source": source, "function": function, "input": task.executor_input}
    child = subprocess.run(
        [sys.executable, "-c", _CHILD],
        input=json.dumps(work),
        env={**os.environ, **task.environment, "_KFP_RUNTIME": "true"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    folder = Path(task.folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "log.txt").write_text(child.stdout, "utf-8")
    return child


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


def _component(task: TaskRequest) -> tuple[str, str]:
    """The source of a lightweight component and the function to execute."""
    container = task.executor.get("container", {})
    arguments = list(container.get("args", ()))
    if "--function_to_execute" not in arguments:
        raise UnsupportedError(
            f"task {task.name!r} is no lightweight Python component", hint="use @dsl.component"
        )
    return container["command"][-1], arguments[arguments.index("--function_to_execute") + 1]
