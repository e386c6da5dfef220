"""One run of a pipeline on this machine, or through a plugin that runs its tasks."""

from __future__ import annotations

import atexit
import json
import os
import threading
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from unified_mlops.errors import BackendError, ConfigError, UnsupportedError
from unified_mlops.hookspecs import TaskHooks
from unified_mlops.pipelines.container import located
from unified_mlops.pipelines.inputs import Values
from unified_mlops.pipelines.journal import RUNNING, Journal, home
from unified_mlops.pipelines.leaves import JobCache, Leaves
from unified_mlops.pipelines.plan import EMBEDDED, JobResult, Plan, Walked, run_uri
from unified_mlops.pipelines.reader import read
from unified_mlops.pipelines.room import ELSEWHERE, this_machine
from unified_mlops.pipelines.runner import Runner
from unified_mlops.pipelines.spec import Secret
from unified_mlops.records import JobState, Ref, TaskRecord

if TYPE_CHECKING:
    from unified_mlops.session import Session


class Observer(Protocol):
    """Told of the tasks of a job."""

    def environment(self, task: TaskRecord) -> Mapping[str, str]:
        """The variables for the process of a component that is about to run; asked per try."""

    def changed(self, task: TaskRecord) -> None:
        """See a task or a group of tasks in a new state; from one thread at a time."""


class Job:
    """One run of a pipeline, checked and not begun yet.

    Args:
        session: asked to run each task.
        plan: what is to be run.
        observe: told of each task.
        before: tasks that an earlier run finished, and that need not run again.

    Raises:
        ArgumentError: an unknown or a missing parameter or input artifact.
        ArgumentTypeError: a parameter of the wrong type.
        UnsupportedError: the pipeline uses what cannot be run here. Nothing was run or written.
    """

    def __init__(
        self,
        session: Session,
        plan: Plan,
        observe: Observer,
        before: Sequence[TaskRecord] = (),
    ) -> None:
        self.session, self.plan, self._observe = session, plan, observe
        self.uri = run_uri(plan.job_id)
        session.route(TaskHooks.mlops_run_task, {"task": self._ref("")})  # it is there
        self._pipeline = read(plan.pipeline.spec)
        self._given = self._pipeline.bind(plan.parameters)
        received = self._pipeline.bind_artifacts(plan.artifacts)
        self._check_executors()
        folder, self._root = home(plan.root, session.config.workspace)
        self.journal = Journal.of(folder, plan.pipeline.name, plan.job_id)
        below = f"{self._root}/{self.journal.folder.parent.name}/{plan.job_id}"
        self._created, self._over = _now(), threading.Event()
        here = plan.provider == EMBEDDED
        self._runner = Runner(
            self._pipeline,
            Leaves(
                session,
                self.journal,
                below,
                {task.name: task for task in before},
                observe.environment,
                self._secret,
                JobCache(
                    self.journal,
                    plan.pipeline.name,
                    plan.options.caching,
                    plan.options.max_age,
                ),
            ),
            Values(
                self._given,
                {name: self._artifacts(name, given) for name, given in received.items()},
            ),
            self._ref,
            self._placeholder,
            self._tell,
            self.journal.unwanted,
            this_machine() if here else {"slots": ELSEWHERE},
            plan.options.failure_policy == "fast",
        )

    def open(self, *, again: bool = False) -> None:
        """Make its folder, and hold its lock.

        Args:
            again: go on with a job that has been here before.

        Raises:
            AlreadyExistsError: a job of this id has run here.
            BackendError: the root cannot be written, or another process runs the job.
        """
        if again:
            self.journal.reopen()
            self._created = self.journal.read()["createTime"]
            self.journal.write(self._told(RUNNING))
        else:
            self.journal.create(self._told(RUNNING), self.plan.pipeline.spec)
        if self._pipeline.workspace:
            (self.journal.folder / "workspace").mkdir(exist_ok=True)

    def start(self) -> Future[JobResult]:
        """Begin to run what was opened, in a thread of its own."""
        outcome: Future[JobResult] = Future()
        atexit.register(self._leave)
        self._runner.start().add_done_callback(lambda walked: self._end(walked, outcome))
        return outcome

    def cancel(self) -> None:
        """Stop it; the future of `start` then tells how far it came."""
        self._runner.cancel()

    @property
    def tasks(self) -> Mapping[str, TaskRecord]:
        """The tasks and groups as they are now."""
        return self._runner.tasks

    def _end(self, walked: Future[Walked], outcome: Future[JobResult]) -> None:
        """Write down how it ended, let go of it, and tell: whoever waits may take it up again."""
        try:
            with closing(self.journal):
                result = self._kept(self._result(walked.result()))
        except BaseException as error:  # noqa: BLE001  whoever waits gets it
            outcome.set_exception(error)
        else:
            outcome.set_result(result)
        finally:
            self._over.set()
            atexit.unregister(self._leave)

    def _tell(self, task: TaskRecord) -> None:
        """Tell of a task: who cannot be told does not stop the job."""
        try:
            self._observe.changed(task)
        except Exception as error:  # noqa: BLE001
            warnings.warn(f"nobody was told of task {task.name!r}: {error}", stacklevel=2)

    def _leave(self) -> None:
        """Stop it where the interpreter does not wait: Ctrl-C after the end of the script."""
        self.cancel()
        self._over.wait()

    def _kept(self, result: JobResult) -> JobResult:
        """The result, which has failed where it cannot be written down."""
        try:
            self.journal.write(self._told(result.state, result))
        except BackendError as error:
            return replace(result, state="PIPELINE_STATE_FAILED", error=str(error))
        return result

    def _result(self, walked: Walked) -> JobResult:
        groups = {task.within for task in walked.tasks.values()}
        failed = [task for task in walked.tasks.values() if task.state == "FAILED"]
        state: JobState = "PIPELINE_STATE_SUCCEEDED"
        if walked.cancelled:
            state = "PIPELINE_STATE_CANCELLED"
        elif failed or walked.error:
            state = "PIPELINE_STATE_FAILED"
        deepest = [task for task in failed if task.name not in groups] or failed
        told = (f"task {task.name!r} failed: {task.error}" for task in deepest)
        error = walked.error or "; ".join(told)
        values = walked.values
        return JobResult(state, walked.tasks, values.parameters, values.artifacts, error)

    def _check_executors(self) -> None:
        hook = TaskHooks.mlops_check_task
        if self.plan.provider not in self.session.implementers(hook):
            return
        told: dict[str, str] = {}
        for task in self._pipeline.leaves:
            executor = task.component.executor or {}
            key = json.dumps(executor, sort_keys=True)
            if task.component.importer is None and key not in told:
                told[key] = self.session.ask(hook, runner=self._ref(""), executor=executor)
                if told[key]:
                    fact, _, hint = told[key].partition("; ")
                    raise UnsupportedError(f"task {task.path!r}: {fact}", hint=hint)
        for task in self._pipeline.leaves:
            for secret in task.component.secrets:
                self._secret(secret)

    def _secret(self, secret: Secret) -> str:
        """A secret's value, from where the config says it is."""
        place = self.session.config.pipelines.get("secrets", {}).get(secret.name, {})
        kind, _, where = str(place.get(secret.key, "")).partition(":")
        if kind == "env" and where in os.environ:
            return os.environ[where]
        if kind == "file" and Path(where).is_file():
            return Path(where).read_text().rstrip("\n")
        raise ConfigError(
            f"the key {secret.key!r} of the secret {secret.name!r} is not known here",
            hint=f"below [pipelines.secrets.{secret.name}] in unified_mlops.toml: "
            f'{secret.key} = "env:{secret.variable}"',
        )

    def _artifacts(self, name: str, given: Any) -> list[dict[str, Any]]:
        """Input artifacts in KFP's form, of the type that the pipeline takes."""
        if isinstance(given, Sequence) and not isinstance(given, str):
            return [one for item in given for one in self._artifacts(name, item)]
        taken = self.plan.pipeline.spec["root"]["inputDefinitions"]["artifacts"][name]
        known = {"name": name, "type": taken["artifactType"], "metadata": {}}
        told = {**known, **(given if isinstance(given, Mapping) else {"uri": str(given)})}
        return [{**told, "uri": located(told["uri"])}]

    def _ref(self, name: str) -> Ref:
        uri = f"{self.uri}/{name}" if name else self.uri
        return Ref(self.plan.provider, "task", f"{self.plan.job_id}/{name}", uri)

    def _placeholder(self, task: str, name: str) -> Any:
        """The value of a placeholder about the job or the task."""
        return {
            "pipeline_job_name": self.plan.job_id,
            "pipeline_job_uuid": self.plan.job_id,
            "pipeline_job_resource_name": self.uri,
            "pipeline_task_name": task,
            "pipeline_task_uuid": f"{self.plan.job_id}/{task}",
            "pipeline_root": self._root,
            "pipeline_job_create_time_utc": self._created,
            "pipeline_job_schedule_time_utc": self.plan.scheduled or self._created,
            "workspace_path": str(self.journal.folder / "workspace"),
        }[name]

    def _told(self, state: str, result: JobResult | None = None) -> dict[str, Any]:
        """What `job.json` says."""
        plan = self.plan
        tasks = result.tasks if result else {}
        return {
            "jobId": plan.job_id,
            "displayName": plan.display_name or plan.job_id,
            "pipeline": {"name": plan.pipeline.name, "uri": plan.pipeline.ref.uri},
            "state": state,
            "error": result.error if result else "",
            "parameters": self._given,
            "artifacts": plan.artifacts,
            "outputs": {**result.outputs, **result.artifacts} if result else {},
            "labels": dict(plan.labels),
            "root": plan.root,
            "runner": plan.provider,
            "experiment": plan.experiment,
            "options": {
                "caching": plan.options.caching,
                "maxAge": plan.options.max_age,
                "failurePolicy": plan.options.failure_policy,
            },
            "scheduleTime": plan.scheduled,
            "createTime": self._created,
            "endTime": _now() if result else None,
            "tasks": {name: {"state": t.state, "error": t.error} for name, t in tasks.items()},
        }


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
