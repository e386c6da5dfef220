"""A pipeline job that a server runs, as `PipelineJob` sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from unified_mlops.errors import ArgumentError, UnsupportedError
from unified_mlops.pipelines.plan import Plan
from unified_mlops.pipelines.reader import takes
from unified_mlops.records import PipelineRecord, TaskRecord
from unified_mlops.resources.remote_pipeline import RemoteRun
from unified_mlops.session import Session


class ServerRun:
    """One run on a server.

    Args:
        session: the session.
        plan: what is to be run; an empty root leaves it to the server.

    Raises:
        ArgumentError: a parameter is unknown or missing.
    """

    def __init__(self, session: Session, plan: Plan) -> None:
        if plan.pipeline.spec:  # of a job that is found again it is not known
            takes(plan.pipeline.spec).bind(plan.parameters)
        self.plan = plan
        self._session = session
        self._run: RemoteRun | None = None

    @classmethod
    def of(cls, session: Session, run: RemoteRun) -> ServerRun:
        """The run of a job that was submitted before."""
        record = run.record
        assert record is not None
        pipeline = PipelineRecord(ref=record.ref, name=record.pipeline, spec={})
        found = cls(
            session,
            Plan(
                pipeline,
                record.name,
                record.root,
                record.parameters,
                provider=record.ref.plugin,
                display_name=record.display_name,
                experiment=record.experiment or None,
            ),
        )
        found._run = run
        return found

    def start(
        self,
        experiment: str | None,
        before: Sequence[TaskRecord] = (),
        *,
        again: bool = False,
        watched: bool = True,  # noqa: ARG002  as `LocalRun.start`
    ) -> None:
        """Submit it.

        Args:
            experiment: the server's experiment.
            before: none; a server begins anew.
            again: False.
            watched: makes no difference; a server has a page of its own.

        Raises:
            UnsupportedError: it is to begin where another run failed, or asks for what the server
                cannot do; nothing was sent.
            AlreadyExistsError: the server has a job of that id.
        """
        if before or again:
            raise UnsupportedError(
                "a KFP server cannot go on with a job through its API",
                hint="job.clone().run(): what succeeded is taken from the server's cache",
            )
        plan = replace(self.plan, experiment=experiment)
        run = RemoteRun(
            self._session,
            plan.pipeline,
            plan.job_id,
            plan.display_name,
            plan.parameters,
            plan.root,
            plan.labels,
            plan.options.caching,
            plan.experiment or "",
            plan.provider,
            artifacts=plan.artifacts,
            cache_max_age=plan.options.max_age,
            failure_policy=plan.options.failure_policy,
        )
        run.start()
        self.plan, self._run = plan, run

    def cancel(self) -> None:
        """Ask the server to stop it, and wait until it has."""
        if self._run and not self._run.done:
            self._run.cancel()
            self._run.wait()

    def wait(self, timeout: float | None) -> None:
        """Wait until it has ended.

        Raises:
            ArgumentError: it was not submitted.
            TimeoutError: it has not ended after so many seconds.
        """
        if self._run is None:
            fact = f"job {self.plan.job_id!r} has not been submitted"
            raise ArgumentError(fact, hint="job.submit(), or job.run()")
        self._run.wait(timeout)
        if not self._run.done:
            raise TimeoutError(f"job {self.plan.job_id!r} has not ended in {timeout} s")

    @property
    def uri(self) -> str:
        """The URN of the run, which the server gives; empty before it is submitted."""
        return self._run.uri if self._run else ""

    @property
    def state(self) -> str:
        """Its state, looked at anew until it has ended."""
        if self._run is None:
            return "PIPELINE_STATE_PENDING"
        record = self._run.record if self._run.done else self._run.refresh()
        return record.state if record else "PIPELINE_STATE_PENDING"

    @property
    def error(self) -> str:
        """What went wrong; empty for nothing."""
        if self._run is None or self.state != "PIPELINE_STATE_FAILED":
            return ""
        return self._run.refresh().error  # a run in a list does not name its tasks

    @property
    def tasks(self) -> Mapping[str, TaskRecord]:
        """Its tasks, looked at anew."""
        return self._run.refresh().tasks if self._run else {}

    @property
    def outputs(self) -> Mapping[str, Any]:
        """The pipeline's output parameters.

        Raises:
            UnsupportedError: always; the server does not tell.
        """
        raise UnsupportedError(
            "a KFP server's API does not tell what a pipeline gave out",
            hint="read what its tasks wrote below the pipeline root",
        )

    @property
    def folder(self) -> str:
        """Where to look for more."""
        return self.uri

    def kept(self) -> list[TaskRecord]:
        """The finished tasks."""
        return [task for task in self.tasks.values() if task.state in ("SUCCEEDED", "SKIPPED")]

    def time(self, which: str) -> datetime | None:
        """When it was created (`createTime`) or ended (`endTime`)."""
        record = self._run.record if self._run else None
        if record is None:
            return None
        at = record.created if which == "createTime" else record.ended
        return None if at is None else datetime.fromtimestamp(at, timezone.utc)

    def delete(self) -> None:
        """Delete the server's record of it."""
        if self._run:
            self._run.delete()
