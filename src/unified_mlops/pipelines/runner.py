"""Walks a pipeline: every task is a thread that waits for the tasks before it.

The runner binds inputs, decides conditions and records states. It knows neither KFP nor Ray: a
component is run by whichever plugin answers `mlops_run_task`. What it leaves below its root is
`<pipeline>/<job>/job.json` and, for each task, a folder with its `executor_input.json`.
"""

from __future__ import annotations

import contextvars
import json
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from unified_mlops.errors import AlreadyExistsError
from unified_mlops.files import new_folder, write_whole
from unified_mlops.hookspecs import TaskHooks
from unified_mlops.pipelines.inputs import (
    Artifacts,
    Values,
    executor_input,
    receive,
    resources,
    returned,
    select,
    with_defaults,
)
from unified_mlops.pipelines.spec import Component, Task, read, walk
from unified_mlops.records import PipelineRecord, Ref, TaskRecord, TaskRequest, TaskState

if TYPE_CHECKING:
    from unified_mlops.session import Session

JobState = Literal[
    "PIPELINE_STATE_RUNNING",
    "PIPELINE_STATE_SUCCEEDED",
    "PIPELINE_STATE_FAILED",
    "PIPELINE_STATE_CANCELLED",
]

WIDTH = max(4, os.cpu_count() or 1)  # how many components run at once


class Observer(Protocol):
    """Told of each task that runs a component, in that task's own thread."""

    def task_started(self, name: str) -> Mapping[str, str]:
        """Say which variables to add to the task's environment."""

    def task_finished(self, name: str, record: TaskRecord) -> None:
        """See a task in its final state, also one that was never started."""


@dataclass(frozen=True, slots=True)
class JobResult:
    """A finished pipeline.

    Args:
        state: `PIPELINE_STATE_FAILED` if any task failed.
        tasks: every task by its name, groups of tasks (conditions, nested pipelines) too.
        outputs: the pipeline's output parameters.
        artifacts: the pipeline's output artifacts, as KFP writes them.
    """

    state: JobState
    tasks: Mapping[str, TaskRecord]
    outputs: Mapping[str, Any] = field(default_factory=dict)
    artifacts: Mapping[str, Artifacts] = field(default_factory=dict)


def run_uri(job_id: str) -> str:
    """The URN of a run on this machine."""
    return f"kfp://local/runs/{job_id}"


class Runner:
    """One run of a pipeline. `names` holds the tasks that run a component, `folder` its files.

    Args:
        session: asked to run each task.
        pipeline: the compiled pipeline.
        job_id: names the run.
        root: the folder for what pipelines leave behind.
        parameters: the pipeline's parameters.
        provider: the plugin that runs the tasks.
        observe: told of each task.

    Raises:
        ArgumentError: an unknown or a missing parameter.
        ArgumentTypeError: a parameter of the wrong type.
        UnsupportedError: the pipeline uses what cannot be run here. Nothing was run or written.
    """

    _stopped = False

    def __init__(
        self,
        session: Session,
        pipeline: PipelineRecord,
        *,
        job_id: str,
        root: Path,
        parameters: Mapping[str, Any],
        provider: str,
        observe: Observer,
    ) -> None:
        self._session = session
        self._record = pipeline
        self._pipeline = read(pipeline.spec)
        self._given = self._pipeline.bind(parameters)
        self._provider = provider
        self._observe = observe
        self._job_id = job_id
        self._root = root.absolute()
        self._uri = run_uri(job_id)
        self._created = _now()
        self._tasks: dict[str, TaskRecord] = {}
        self._slots = threading.BoundedSemaphore(WIDTH)
        self.names = self._pipeline.leaves
        self.folder = self._root / pipeline.name / job_id

    def run(self) -> JobResult:
        """Run every task whose turn comes, and wait for the last.

        A failed task stops those that need it and no other.

        Raises:
            AlreadyExistsError: a job of this id has run here.
            BackendError: the root cannot be written.
        """
        self._create_folder()
        try:
            job = partial(self._placeholder, "")
            inputs = Values(with_defaults(self._pipeline.root, self._given, job))
            made = self._run_graph(self._pipeline.root, inputs)
        except BaseException:
            self._stopped = True
            self._write_job("PIPELINE_STATE_CANCELLED")
            raise
        tasks = {name: self._tasks[name] for name in self._pipeline.names.values()}
        failed = any(record.state == "FAILED" for record in tasks.values())
        state: JobState = "PIPELINE_STATE_FAILED" if failed else "PIPELINE_STATE_SUCCEEDED"
        self._write_job(state)
        return JobResult(state, tasks, made.parameters, made.artifacts)

    def _run_graph(self, component: Component, inputs: Values) -> Values:
        """Run the tasks of a graph, each in a thread, and return what the graph gives out."""
        done: dict[str, Future[TaskRecord]] = {name: Future() for name in component.tasks}
        for name, task in component.tasks.items():
            settle = partial(_into, done[name], self._settle, task, done, inputs)
            # The active run is a context variable, and a thread starts without any.
            run = partial(contextvars.copy_context().run, settle)
            threading.Thread(target=run, name=task.path, daemon=True).start()
        return select(component, {name: future.result() for name, future in done.items()})

    def _settle(
        self, task: Task, done: Mapping[str, Future[TaskRecord]], outer: Values
    ) -> TaskRecord:
        """Wait for the tasks before this one, run it if its turn comes, and tell how it ended."""
        before = {name: done[name].result() for name in sorted(task.after)}
        if self._stopped:
            record = self._close(task, "CANCELLED")
        elif any(item.state not in ("SUCCEEDED", "SKIPPED") for item in before.values()):
            record = self._close(task, "NOT_TRIGGERED")
        else:
            record = self._attempt(task, before, outer)
        self._announce(task, record)
        return record

    def _attempt(self, task: Task, before: Mapping[str, TaskRecord], outer: Values) -> TaskRecord:
        try:
            inputs = receive(task, before, outer, partial(self._placeholder, self._name(task)))
            if task.condition and not task.condition.holds(inputs.parameters):
                return self._close(task, "NOT_TRIGGERED")
            run = self._run_group if task.component.executor is None else self._run_leaf
            return run(task, inputs)
        except Exception as error:  # noqa: BLE001  whatever it is, it fails this task only
            return self._close(task, "FAILED", str(error) or type(error).__name__)

    def _run_group(self, task: Task, inputs: Values) -> TaskRecord:
        made = self._run_graph(task.component, inputs)
        inner = [self._tasks[self._name(item)] for item in walk(task.component)]
        failed = next((record for record in inner if record.state == "FAILED"), None)
        stopped = any(record.state == "CANCELLED" for record in inner)
        state: TaskState = "FAILED" if failed else "CANCELLED" if stopped else "SUCCEEDED"
        error = f"task {failed.name!r} in it failed" if failed else ""
        return self._keep(
            task, state, parameters=made.parameters, artifacts=made.artifacts, error=error
        )

    def _run_leaf(self, task: Task, inputs: Values) -> TaskRecord:
        with self._slots:
            if self._stopped:
                return self._close(task, "CANCELLED")
            request = self._request(task, inputs, self._observe.task_started(self._name(task)))
            answer = self._session.ask(TaskHooks.mlops_run_task, task=request)
        kinds = task.component.results
        parameters = {
            name: returned(value, kinds[name], name) for name, value in answer.parameters.items()
        }
        return self._keep(
            task,
            answer.state,
            parameters=parameters,
            artifacts=answer.artifacts,
            log=answer.log,
            error=answer.error,
            edges=answer.edges,
        )

    def _request(self, task: Task, inputs: Values, variables: Mapping[str, str]) -> TaskRequest:
        name, executor = self._name(task), task.component.executor or {}
        folder = self.folder / name
        folder.mkdir()
        given = executor_input(task.component, inputs, folder)
        (folder / "executor_input.json").write_text(json.dumps(given))
        container = executor["container"]
        own = {item["name"]: item["value"] for item in container.get("env", ())}
        return TaskRequest(
            ref=self._ref(name),
            name=name,
            executor=executor,
            executor_input=given,
            folder=str(folder),
            environment={**variables, **own},
            resources=resources(container.get("resources", {})),
        )

    def _close(self, task: Task, state: TaskState, error: str = "") -> TaskRecord:
        """Record a task that ends without a result, and what is below it and never ran."""
        for inner in walk(task.component):
            if self._name(inner) not in self._tasks:
                self._announce(inner, self._keep(inner, "NOT_TRIGGERED"))
        return self._keep(task, state, error=error)

    def _announce(self, task: Task, record: TaskRecord) -> None:
        if task.component.executor is not None:
            self._observe.task_finished(record.name, record)

    def _keep(self, task: Task, state: TaskState, **fields: Any) -> TaskRecord:
        name = self._name(task)
        record = TaskRecord(ref=self._ref(name), name=name, state=state, **fields)
        self._tasks[name] = record
        return record

    def _name(self, task: Task) -> str:
        return self._pipeline.names[task.path]

    def _ref(self, name: str) -> Ref:
        return Ref(self._provider, "task", f"{self._job_id}/{name}", f"{self._uri}/{name}")

    def _placeholder(self, task: str, name: str) -> Any:
        """The value of a placeholder about the job or the task."""
        return {
            "pipeline_job_name": self._job_id,
            "pipeline_job_uuid": self._job_id,
            "pipeline_job_resource_name": self._uri,
            "pipeline_task_name": task,
            "pipeline_task_uuid": f"{self._job_id}/{task}",
            "pipeline_root": str(self._root),
            "pipeline_job_create_time_utc": self._created,
            "pipeline_job_schedule_time_utc": self._created,
        }[name]

    def _create_folder(self) -> None:
        try:
            with new_folder(self.folder):
                self._write_job("PIPELINE_STATE_RUNNING")
        except FileExistsError as error:
            fact = f"pipeline {self._record.name!r} has a job {self._job_id!r} already"
            raise AlreadyExistsError(fact, hint="give the new job another id") from error

    def _write_job(self, state: JobState) -> None:
        """Keep what this run is and how it went, whole or not at all."""
        tasks = self._tasks.copy()  # after an interrupt, threads may still be writing
        job = {
            "jobId": self._job_id,
            "pipeline": {"name": self._record.name, "uri": self._record.ref.uri},
            "state": state,
            "parameters": self._given,
            "createTime": self._created,
            "endTime": None if state == "PIPELINE_STATE_RUNNING" else _now(),
            "tasks": {name: {"state": t.state, "error": t.error} for name, t in tasks.items()},
        }
        write_whole(self.folder / "job.json", json.dumps(job))


def _into(future: Future[TaskRecord], work: Callable[..., TaskRecord], *arguments: Any) -> None:
    """Put the outcome of `work` into a future, so that nobody is left waiting for it."""
    try:
        future.set_result(work(*arguments))
    except BaseException as error:  # noqa: BLE001
        future.set_exception(error)


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
