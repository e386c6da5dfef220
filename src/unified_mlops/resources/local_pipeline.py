"""A pipeline job that runs on this machine, or task by task through a plugin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import replace
from datetime import datetime
from time import monotonic, sleep
from typing import Any

from unified_mlops.errors import ArgumentError, NotFoundError
from unified_mlops.pipelines import drawing
from unified_mlops.pipelines.job import Job
from unified_mlops.pipelines.journal import RUNNING, Journal
from unified_mlops.pipelines.plan import JobResult, Plan, run_uri
from unified_mlops.pipelines.reader import read
from unified_mlops.records import Ref, State, TaskRecord
from unified_mlops.resources.observers import Observers
from unified_mlops.resources.task_runs import TaskRuns
from unified_mlops.resources.task_tree import TaskTree
from unified_mlops.session import Session

ENDED: Mapping[str, State] = {
    "PIPELINE_STATE_SUCCEEDED": "COMPLETE",
    "PIPELINE_STATE_FAILED": "FAILED",
    "PIPELINE_STATE_CANCELLED": "CANCELLED",
}
PAUSED = "PIPELINE_STATE_PAUSED"
"""The state of a job that was interrupted and can go on."""
_GLANCE = 0.2  # seconds between looks at a job of another process


class LocalRun:
    """One run: being run here, or seen through what it leaves on disk.

    Args:
        session: the session.
        plan: what is to be run.

    Raises:
        ArgumentError: a parameter or an input artifact is unknown or missing.
        UnsupportedError: the pipeline uses what cannot be run here.
    """

    def __init__(self, session: Session, plan: Plan) -> None:
        self.session, self.plan = session, plan
        self._job: Job | None = None
        self._future: Future[JobResult] | None = None
        self._cancelling = False
        self._journal = Job(session, plan, Observers([])).journal

    @classmethod
    def of(cls, session: Session, plan: Plan, journal: Journal) -> LocalRun:
        """A run of an earlier time or of another process."""
        run = object.__new__(cls)
        run.session, run.plan, run._journal = session, plan, journal
        run._job, run._future, run._cancelling = None, None, False
        return run

    def start(
        self,
        experiment: str | None,
        before: Sequence[TaskRecord] = (),
        *,
        again: bool = False,
        watched: bool = True,
    ) -> None:
        """Begin.

        Args:
            experiment: where it is recorded.
            before: finished tasks that need not run again.
            again: go on with a job that was interrupted, cancelled or failed.
            watched: whether it is drawn in the terminal while it runs.

        Raises:
            AlreadyExistsError: there is a job of this id.
        """
        self.plan = plan = replace(self.plan, experiment=experiment)
        observers = self._observers(plan, watched)
        job = Job(self.session, plan, observers, before)
        job.open(again=again)
        try:
            observers.start()
        except BaseException:
            job.journal.close()
            if not again:
                job.journal.delete()
            raise
        self._job, self._journal, self._cancelling = job, job.journal, False
        future: Future[JobResult] = Future()
        self._future = future
        job.start().add_done_callback(lambda ended: _settle(ended, observers, future))

    @property
    def uri(self) -> str:
        """The URN of the run in the lineage graph, where it stands once it has begun."""
        return run_uri(self.plan.job_id)

    def cancel(self) -> None:
        """Stop it, and wait until nothing of it runs; one of another process too."""
        if self._job and self._future:
            self._cancelling = True
            self._job.cancel()
            self._future.result()
        elif self._journal.folder.exists() and self._journal.alive:
            self._journal.cancel()
            while self._journal.alive:
                sleep(_GLANCE)

    def wait(self, timeout: float | None) -> None:
        """Wait until it has ended.

        Raises:
            TimeoutError: it has not, after so many seconds.
            ArgumentError: it was not begun, or was interrupted.
        """
        late = f"job {self.plan.job_id!r} has not ended in {timeout} s"
        if self._future:
            try:
                self._future.result(timeout)
            except FutureTimeout as error:  # not Python's own before 3.11
                raise TimeoutError(late) from error
            return
        end = None if timeout is None else monotonic() + timeout
        while self.state == RUNNING:
            if end is not None and monotonic() > end:
                raise TimeoutError(late)
            sleep(_GLANCE)
        if self.state not in ENDED:
            fact = f"job {self.plan.job_id!r} is not running: {self.state}"
            raise ArgumentError(fact, hint="job.run(), or job.resume() where it was interrupted")

    @property
    def state(self) -> str:
        """The job's state: paused where the process that ran it is gone."""
        if self._future:
            if self._future.done():
                return self._future.result().state
            return "PIPELINE_STATE_CANCELLING" if self._cancelling else RUNNING
        state = str(self._told().get("state", "PIPELINE_STATE_PENDING"))
        return PAUSED if state == RUNNING and not self._journal.alive else state

    @property
    def error(self) -> str:
        """What went wrong; empty for nothing."""
        if self.state == PAUSED:
            return "the process that ran it is gone"
        return str(self._told().get("error", ""))

    @property
    def tasks(self) -> Mapping[str, TaskRecord]:
        """Every task and group by its name, as it is now."""
        if self._job:
            return self._job.tasks
        kept = {task.name: task for task in self.kept()}
        for name, told in self._told().get("tasks", {}).items():
            if name not in kept:
                place = f"{self.plan.job_id}/{name}", f"{self.uri}/{name}"
                ref = Ref(self.plan.provider, "task", *place)
                kept[name] = TaskRecord(ref=ref, name=name, **told)
        return kept

    @property
    def outputs(self) -> Mapping[str, Any]:
        """What the pipeline gives out: parameters, and artifacts in KFP's form."""
        return dict(self._told().get("outputs", {}))

    @property
    def folder(self) -> str:
        """Where its files are."""
        return str(self._journal.folder)

    def kept(self) -> list[TaskRecord]:
        """The finished tasks as they are on disk."""
        return list(self._journal.tasks())

    def time(self, which: str) -> datetime | None:
        """When it was created (`createTime`) or ended (`endTime`)."""
        told = self._told().get(which)
        return datetime.fromisoformat(told.replace("Z", "+00:00")) if told else None

    def delete(self) -> None:
        """Remove its files.

        Raises:
            ArgumentError: it is running.
        """
        if self._journal.folder.exists():
            if self._journal.alive:
                raise ArgumentError(f"job {self.plan.job_id!r} is running", hint="job.cancel()")
            self._journal.delete()

    def _told(self) -> Mapping[str, Any]:
        """What it last wrote about itself."""
        try:
            return self._journal.read()
        except NotFoundError:
            return {}

    def _observers(self, plan: Plan, watched: bool) -> Observers:
        pipeline = read(plan.pipeline.spec)
        graph = drawing.boxes(plan.pipeline.spec, pipeline.names)
        title = plan.display_name or plan.job_id
        runs = TaskRuns(
            self.session,
            plan.job_id,
            plan.pipeline.name,
            title,
            plan.experiment,
            plan.parameters,
            plan.labels,
            graph=graph,
        )
        return Observers([runs, *([TaskTree(title, graph)] if watched else [])])


def _settle(ended: Future[JobResult], observers: Observers, future: Future[JobResult]) -> None:
    """Tell those who looked on, and then those who wait."""
    try:
        result = ended.result()
        observers.end(ENDED[result.state])
        future.set_result(result)
    except BaseException as error:  # noqa: BLE001  whoever waits gets it
        future.set_exception(error)
