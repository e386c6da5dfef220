"""A job as a run of an experiment, and each of its tasks as a child run.

Only the child's id is needed before the task's process starts, for what that process logs by
itself. Everything else is written by one thread behind, and is there when `end` returns.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from threading import Lock, Thread
from time import time
from typing import Any, TypeVar

from unified_mlops.errors import AlreadyExistsError, BackendError
from unified_mlops.hookspecs import RunHooks
from unified_mlops.pipelines import drawing
from unified_mlops.records import Metric, State, TaskRecord, TaskState
from unified_mlops.resources import task_contents
from unified_mlops.resources.experiments import ExperimentRun
from unified_mlops.session import Session

T = TypeVar("T")
logger = logging.getLogger("unified_mlops")

PICTURE = "pipeline.svg"
"""The file on the job's run that shows its graph."""
RUN_TAG, TASK_TAG = "kfp.pipeline_run_id", "kfp.task_name"
ERROR_TAG = "unified_mlops.error"
_PATIENCE = 2
"""Failures of the tool, one after another, after which it is away."""
_STATES: Mapping[TaskState, State] = {
    "SUCCEEDED": "COMPLETE",
    "SKIPPED": "CACHED",
    "CANCELLED": "CANCELLED",
    "FAILED": "FAILED",
}
"""The task states with which a run ends; a task that is not triggered has none."""


class TaskRuns:
    """Makes a job a run, and each task and each of its iterations a child run.

    A tool that fails costs its own records and never a task: it is said once, and one that stays
    away is not asked again.

    Args:
        session: the session.
        job_id: the run's name; a child is called `<job id>/<task>`.
        pipeline_name: the pipeline's name.
        display_name: the job's.
        experiment: where the runs belong; None makes none, and tasks get the session alone.
        parameters: the job's.
        labels: become tags of the job's run.
        graph: what `drawing.boxes` says of the pipeline.
        tags: more tags for all runs: `kfp.pipeline_id`, `kfp.pipeline_version_id`,
            `kfp.pipeline_run_url`, where a server has them.
    """

    def __init__(
        self,
        session: Session,
        job_id: str,
        pipeline_name: str,
        display_name: str,
        experiment: str | None,
        parameters: Mapping[str, Any],
        labels: Mapping[str, str],
        *,
        graph: Sequence[drawing.Box],
        tags: Mapping[str, str] | None = None,
    ) -> None:
        self._session = session
        self._job_id = job_id
        self._experiment = experiment
        self._parameters = parameters
        self._tags = {**(tags or {}), RUN_TAG: job_id, "kfp.pipeline_name": pipeline_name}
        self._own_tags = {**labels, "unified_mlops.display_name": display_name}
        self._title = f"{display_name} ({job_id})"
        self._graph = graph
        self._leaves = drawing.leaves(graph)
        self._states: dict[str, Counter[TaskState]] = defaultdict(Counter)
        self._last: dict[str, TaskState] = {}
        self._runs: dict[str, ExperimentRun] = {}
        self._creating = Lock()
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._writer: Thread | None = None
        self._failures = 0  # of the tool, one after another
        self._warned = False
        self.job: ExperimentRun | None = None

    def start(self) -> None:
        """Make the job's run, or go on with the one that a former start made.

        Raises:
            AlreadyExistsError: the experiment has a run of that name which is no run of this job.
            BackendError: the tool is away; nothing has run.
        """
        if self._experiment is None:
            return
        job = self._open(self._job_id, None, {**self._own_tags, **self._tags})
        self.job = _running(job)
        self._queue.put(lambda: job.log_params(task_contents.scalars(self._parameters)))
        self._queue.put(lambda: self._draw({}))
        self._writer = Thread(target=self._write_all, name=f"runs of {self._job_id}", daemon=True)
        self._writer.start()

    def environment(self, task: TaskRecord) -> Mapping[str, str]:
        """The variables by which the task's process joins this session and its own run.

        What it logs natively, without us, becomes a child of that run.
        """
        if self.job is None:
            return self._session.to_env()
        run = self._runs.get(task.name) or self._try(lambda: _running(self._child(task)))
        if run is None:
            return self._session.to_env(self.job.record)
        self._runs[task.name] = run  # each name is one thread's at a time
        return {**self._session.to_env(run.record), **(self._try(run.native_env) or {})}

    def changed(self, task: TaskRecord) -> None:
        """Have a task that is over written to its run, which is made where it has none."""
        if task.state in ("PENDING", "RUNNING"):
            return
        name = drawing.base(task.name)
        if name != drawing.base(task.within):  # no iteration of a loop
            if before := self._last.get(task.name):  # of an earlier try of its group
                self._states[name][before] -= 1
            self._last[task.name] = task.state
            self._states[name][task.state] += 1
        if self.job is not None and name in self._leaves and task.state in _STATES:
            self._queue.put(lambda: self._write(task))

    def end(self, state: State) -> None:
        """Write all that waits, and close the job's run and those of interrupted tasks."""
        job, writer = self.job, self._writer
        if job is None or writer is None:
            return
        self._queue.put(self._close_left)
        self._queue.put(lambda: self._draw(self._states))
        self._queue.put(lambda: job.end_run(state))
        self._queue.put(None)
        writer.join()
        self.job = self._writer = None

    def _child(self, task: TaskRecord) -> ExperimentRun:
        tags = {TASK_TAG: task.name, "unified_mlops.parent_task": task.ref.uri}
        return self._open(f"{self._job_id}/{task.name}", self.job, {**self._tags, **tags})

    def _open(
        self, name: str, parent: ExperimentRun | None, tags: Mapping[str, str]
    ) -> ExperimentRun:
        """A new run, or the one that this job made when it ran before."""
        with self._creating:  # a store lets one in at a time, and the others poll
            try:
                return ExperimentRun.create(
                    name, self._experiment, parent=parent, tags=tags, session=self._session
                )
            except AlreadyExistsError:
                run = ExperimentRun(name, self._experiment, session=self._session)
                if run.record.tags.get(RUN_TAG) != self._job_id:
                    raise
                return run

    # --- behind ----------------------------------------------------------------------------

    def _write_all(self) -> None:
        for job in iter(self._queue.get, None):
            self._try(job)

    def _write(self, task: TaskRecord) -> None:
        """Put on the run what its task was given and made, and close it."""
        state = _STATES[task.state]
        run = self._runs.pop(task.name, None) or self._child(task)
        if run.record.state == state:  # told again, as a job does that is taken up again
            return
        for log in (_log_params, self._log_metrics, _log_files):
            self._try(partial(log, run, task))
        told = task.error or ERROR_TAG in run.record.tags  # of an earlier try
        run.update(state, {ERROR_TAG: task.error[: task_contents.LONGEST]} if told else {})

    def _log_metrics(self, run: ExperimentRun, task: TaskRecord) -> None:
        at = task.ended or time()
        found = task_contents.metrics(task)
        if points := [Metric(key, value, 0, at) for key, value in found.items()]:
            self._session.tell(RunHooks.mlops_log_metrics, run=run.record, metrics=points)

    def _draw(self, states: Mapping[str, Mapping[TaskState, int]]) -> None:
        job = self.job
        if job is not None and self._graph:
            with TemporaryDirectory() as folder:
                picture = Path(folder, PICTURE)
                picture.write_text(drawing.svg(self._title, self._graph, states), "utf-8")
                job.log_artifact(picture)

    def _close_left(self) -> None:
        """Close the runs of tasks that never came to their end."""
        while self._runs:
            _, run = self._runs.popitem()
            self._try(partial(run.end_run, "CANCELLED"))

    def _try(self, step: Callable[[], T]) -> T | None:
        """Do what must not stop a task; None where it failed."""
        if self._failures >= _PATIENCE:
            return None
        try:
            done = step()
        except Exception as error:  # noqa: BLE001  the records are not worth a task
            self._failures += isinstance(error, BackendError)
            if not self._warned:
                fact = "job %r runs on, but not all of it is recorded in experiment %r: %s"
                logger.warning(fact, self._job_id, self._experiment, error)
            self._warned = True
            return None
        self._failures = 0
        return done


def _running(run: ExperimentRun) -> ExperimentRun:
    """The run, opened again where it had ended."""
    if run.record.state != "RUNNING":
        run.update("RUNNING")
    return run


def _log_params(run: ExperimentRun, task: TaskRecord) -> None:
    if params := task_contents.params(task):
        run.log_params(params)


def _log_files(run: ExperimentRun, task: TaskRecord) -> None:
    if not task.artifacts and task.state != "FAILED":
        return
    with TemporaryDirectory() as folder:
        for file in task_contents.files(task, Path(folder)):
            run.log_artifact(file)
