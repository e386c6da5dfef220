"""Pipelines: a compiled KFP file, run task by task, each task a run of one experiment."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from threading import Lock
from typing import Any
from uuid import uuid4

from unified_mlops.current import current_session
from unified_mlops.errors import ArgumentError, TaskFailedError
from unified_mlops.hookspecs import PipelineHooks, TaskHooks
from unified_mlops.pipelines.runner import JobResult, Runner, run_uri
from unified_mlops.records import Scalar, State, TaskRecord, TaskState
from unified_mlops.resources.base import Traced
from unified_mlops.resources.experiments import ExperimentRun
from unified_mlops.resources.progress import progress
from unified_mlops.session import Session

_STATES: Mapping[TaskState, State] = {
    "SUCCEEDED": "COMPLETE",
    "SKIPPED": "CACHED",
    "CANCELLED": "CANCELLED",
    "NOT_TRIGGERED": "CANCELLED",
    "FAILED": "FAILED",
}


class PipelineJob(Traced):
    """One run of a pipeline.

    Args:
        display_name: its name.
        template_path: a compiled YAML or JSON file, or a `kfp.dsl` pipeline function.
        parameter_values: the pipeline's parameters.
        job_id: names the run; made from the pipeline's name and the time if left out.
        pipeline_root: where its files go; below the workspace if left out.
        runner: the plugin that runs the tasks, such as `kfp` or `ray`.
        session: the session; the current one if left out.

    Raises:
        ArgumentError: a parameter is unknown or missing; nothing has run.
    """

    def __init__(
        self,
        display_name: str,
        template_path: Any,
        *,
        parameter_values: Mapping[str, Any] | None = None,
        job_id: str | None = None,
        pipeline_root: str | Path | None = None,
        runner: str | None = None,
        session: Session | None = None,
    ) -> None:
        self.session = session or current_session()
        self.display_name = display_name
        self.pipeline = self.session.ask(PipelineHooks.mlops_load_pipeline, template=template_path)
        stamp = datetime.now(timezone.utc).strftime("%Y%m%d%H%M%S")
        self.job_id = job_id or f"{self.pipeline.name}-{stamp}-{uuid4().hex[:4]}"
        self.parameter_values = dict(parameter_values or {})
        self._result: JobResult | None = None
        self._observer = _Tasks(self.session, self.job_id)
        self._runner = Runner(
            self.session,
            self.pipeline,
            job_id=self.job_id,
            root=Path(pipeline_root or self.session.config.workspace / "pipelines"),
            parameters=self.parameter_values,
            provider=runner or self._provider(),
            observe=self._observer,
        )

    @property
    def uri(self) -> str:
        """The URN of the run in the lineage graph, where it stands once it has begun."""
        return run_uri(self.job_id)

    @property
    def state(self) -> str:
        """The job's state, with Vertex's names."""
        return self._result.state if self._result else "PIPELINE_STATE_PENDING"

    @property
    def task_details(self) -> Mapping[str, TaskRecord]:
        """Every task by its name, with its state and outputs."""
        return self._finished().tasks

    @property
    def outputs(self) -> Mapping[str, Any]:
        """The pipeline's output parameters."""
        return self._finished().outputs

    def run(self, experiment: str | None = None) -> None:
        """Run it and wait.

        Args:
            experiment: where the job is a run and each task a child run; the session's if left
                out. Without either, the job is recorded in its pipeline root alone.

        Raises:
            TaskFailedError: a task failed; names it and where its log is.
        """
        named = experiment or self.session.config.experiment
        if named:
            tags = {"kfp.pipeline_run_id": self.job_id, "kfp.pipeline_name": self.pipeline.name}
            self._observer.job = ExperimentRun.create(
                self.job_id, named, tags=tags, session=self.session
            )
            self._observer.job.log_params(_scalars(self.parameter_values))
        try:
            with progress(self.display_name, len(self._runner.names)) as advance:
                self._observer.advance = advance
                self._result = self._runner.run()
        except BaseException:
            self._observer.end("CANCELLED")
            raise
        tasks = [self._result.tasks[name] for name in self._runner.names]
        failed = [task for task in tasks if task.state == "FAILED"]
        self._observer.end("FAILED" if failed else "COMPLETE")
        if failed:
            told = "; ".join(f"task {task.name!r} failed: {task.error}" for task in failed)
            raise TaskFailedError(told, hint=f"see {self._runner.folder}/{failed[-1].name}/log.txt")

    def _provider(self) -> str:
        """The plugin that runs tasks unless one is named: the configured one, or the only one."""
        return self.session.route(TaskHooks.mlops_run_task, {})

    def _finished(self) -> JobResult:
        if self._result is None:
            raise ArgumentError(f"job {self.job_id!r} has not run", hint="job.run()")
        return self._result


class _Tasks:
    """Makes each task a child run, whose environment lets its process log to it."""

    def __init__(self, session: Session, job_id: str) -> None:
        self._session = session
        self._job_id = job_id
        self._runs: dict[str, ExperimentRun] = {}
        self._lock = Lock()
        self.job: ExperimentRun | None = None
        self.advance: Callable[[], None] = lambda: None

    def task_started(self, name: str) -> Mapping[str, str]:
        """The variables by which the task's process joins this session and its run.

        What the task logs natively, without us, becomes a child of that run.
        """
        if self.job is None:
            return self._session.to_env()
        tags = {
            "kfp.pipeline_run_id": self._job_id,
            "kfp.task_name": name,
            "unified_mlops.parent_task": f"{run_uri(self._job_id)}/{name}",
        }
        run = ExperimentRun.create(
            f"{self._job_id}/{name}",
            self.job.record.experiment,
            parent=self.job,
            tags=tags,
            session=self._session,
        )
        with self._lock:
            self._runs[name] = run
        return {**self._session.to_env(run.record), **run.native_env()}

    def task_finished(self, name: str, record: TaskRecord) -> None:
        """Close the task's run in the task's state."""
        self.advance()
        with self._lock:
            run = self._runs.pop(name, None)
        if run is not None:
            run.end_run(_STATES[record.state])

    def end(self, state: State) -> None:
        """Close the job's run, and those of tasks that were interrupted."""
        for run in [*self._runs.values(), *([self.job] if self.job else [])]:
            run.end_run(state)


def _scalars(values: Mapping[str, Any]) -> dict[str, Scalar]:
    """Pipeline parameters as run parameters: what is no number or text becomes JSON."""
    return {
        key: value
        if isinstance(value, float | int | str) and not isinstance(value, bool)
        else json.dumps(value)
        for key, value in values.items()
    }
