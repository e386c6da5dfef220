"""A pipeline job that a server runs: submitted as a whole, then followed by looking."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from threading import Event, Lock
from typing import Any, Literal

from unified_mlops.errors import ArgumentError, BackendError, NotFoundError
from unified_mlops.hookspecs import PipelineHooks
from unified_mlops.records import JobRequest, PipelineJobRecord, PipelineRecord
from unified_mlops.resources.base import Traced
from unified_mlops.session import Session

_SHORTEST, _LONGEST, _GROWTH = 1.0, 15.0, 1.5
"""Seconds from one look to the next: few after a change, more while nothing happens."""
_PATIENCE = 5
"""How many looks in a row may fail before it is told; a server may be away for a while."""


class RemoteRun(Traced):
    """One job on a server.

    Args:
        session: the session.
        pipeline: the compiled pipeline.
        job_id: the id by which the job is found again.
        display_name: its name.
        parameters: the pipeline's parameters.
        root: where its artifacts go, an address that the server can reach; empty leaves it to it.
        labels: labels of the job.
        caching: whether tasks are taken from the cache; None leaves it to each task.
        experiment: the server's experiment; empty for its default.
        provider: the plugin of the server, such as `kfp`.
        artifacts: the pipeline's input artifacts.
        cache_max_age: the age in seconds up to which tasks are taken from the cache.
        failure_policy: `fast` starts no task after one has failed.
    """

    record: PipelineJobRecord | None

    def __init__(
        self,
        session: Session,
        pipeline: PipelineRecord,
        job_id: str,
        display_name: str,
        parameters: Mapping[str, Any] | None = None,
        root: str = "",
        labels: Mapping[str, str] | None = None,
        caching: bool | None = None,
        experiment: str = "",
        provider: str = "kfp",
        *,
        artifacts: Mapping[str, Any] | None = None,
        cache_max_age: float | None = None,
        failure_policy: Literal["slow", "fast"] = "slow",
    ) -> None:
        self._follow(session, None)
        self._pipeline = replace(pipeline, ref=replace(pipeline.ref, plugin=provider))
        self._request = JobRequest(
            name=job_id,
            display_name=display_name,
            parameters=dict(parameters or {}),
            artifacts=dict(artifacts or {}),
            root=root,
            experiment=experiment,
            caching=caching,
            cache_max_age=cache_max_age,
            failure_policy=failure_policy,
            labels=dict(labels or {}),
        )

    @classmethod
    def of(cls, session: Session, record: PipelineJobRecord) -> RemoteRun:
        """The run of a job that was submitted before."""
        run = object.__new__(cls)
        run._follow(session, record)
        return run

    @classmethod
    def find(cls, session: Session, job_id: str) -> RemoteRun:
        """The run of a job that was submitted before, perhaps by another process.

        Args:
            session: the session.
            job_id: the job's id, or the server's own name of the run.

        Raises:
            NotFoundError: the server has no such job.
        """
        found = session.ask(PipelineHooks.mlops_list_pipeline_jobs, name=job_id)
        if not found:
            raise NotFoundError(
                f"the server has no job {job_id!r}", hint="PipelineJob.list() names those there are"
            )
        run = cls.of(session, found[-1])
        run.refresh()
        return run

    @classmethod
    def list(cls, session: Session) -> list[RemoteRun]:
        """Every job of the server, oldest first, whoever submitted it; tasks after `refresh`."""
        found = session.ask(PipelineHooks.mlops_list_pipeline_jobs, name="")
        return [cls.of(session, record) for record in found]

    @property
    def uri(self) -> str:
        """The URN of the run in the lineage graph."""
        return self._submitted().ref.uri

    @property
    def done(self) -> bool:
        """Whether it has ended; as of the last look."""
        return self._submitted().state.endswith(("SUCCEEDED", "FAILED", "CANCELLED"))

    def start(self) -> PipelineJobRecord:
        """Submit it.

        Raises:
            ArgumentError: a parameter is unknown, missing or nothing that the server can hold.
            UnsupportedError: the server cannot run it as asked; nothing was sent.
            AlreadyExistsError: the server has a job of that id.
            BackendError: the server is away or refuses.
        """
        if self.record is not None:
            raise ArgumentError(
                f"job {self.record.name!r} has been submitted", hint="make another job for it"
            )
        self.record = self.session.ask(
            PipelineHooks.mlops_submit_pipeline, pipeline=self._pipeline, job=self._request
        )
        return self.record

    def refresh(self) -> PipelineJobRecord:
        """Look how far it is.

        Raises:
            NotFoundError: it was deleted.
            BackendError: the server is away or refuses.
        """
        with self._looking:
            known = self._submitted()
            if self.done and known.tasks:
                return known
            ask = PipelineHooks.mlops_get_pipeline_job
            return self._keep(self.session.ask(ask, job=known.ref))

    def cancel(self) -> PipelineJobRecord:
        """Ask the server to stop it, from any thread; `wait` returns when it has."""
        ask = PipelineHooks.mlops_cancel_pipeline_job
        with self._looking:
            record = self._keep(self.session.ask(ask, job=self._submitted().ref))
        self._look.set()
        return record

    def delete(self) -> None:
        """Delete the server's record of it, once it has ended.

        Raises:
            ArgumentError: it has not ended.
        """
        self.session.ask(PipelineHooks.mlops_delete_pipeline_job, job=self._submitted().ref)

    def wait(
        self,
        timeout: float | None = None,
        on_change: Callable[[PipelineJobRecord], None] | None = None,
    ) -> PipelineJobRecord:
        """Look again and again until it has ended.

        Args:
            timeout: seconds after which it returns all the same, as far as the job is then.
            on_change: called with the record when the state of the job or of a task has changed.

        Raises:
            BackendError: the server was away at several looks in a row.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        pause, failed, seen = _SHORTEST, 0, _states(self._submitted())
        while not self.done:
            left = pause if deadline is None else min(pause, deadline - time.monotonic())
            if left <= 0:
                break
            self._look.wait(left)
            self._look.clear()
            try:
                self.refresh()
                failed = 0
            except BackendError:
                failed += 1
                if failed >= _PATIENCE:
                    raise
            pause = min(pause * _GROWTH, _LONGEST)
            if (states := _states(self._submitted())) != seen:
                pause, seen = _SHORTEST, states
                if on_change:
                    on_change(self._submitted())
        return self._submitted()

    def _follow(self, session: Session, record: PipelineJobRecord | None) -> None:
        self.session, self.record = session, record
        self._look = Event()  # ends a pause
        self._looking = Lock()  # what is seen later is kept later
        self._stopping = record is not None and record.state == "PIPELINE_STATE_CANCELLING"

    def _keep(self, record: PipelineJobRecord) -> PipelineJobRecord:
        # a server may report as failed what it stopped because it was asked to
        self._stopping |= record.state == "PIPELINE_STATE_CANCELLING"
        if self._stopping and record.state == "PIPELINE_STATE_FAILED":
            record = replace(record, state="PIPELINE_STATE_CANCELLED", error="")
        self.record = record
        return record

    def _submitted(self) -> PipelineJobRecord:
        if self.record is None:
            raise ArgumentError(
                f"job {self._request.name!r} has not been submitted", hint="job.submit()"
            )
        return self.record


def _states(record: PipelineJobRecord) -> tuple[str, dict[str, str]]:
    return record.state, {name: task.state for name, task in record.tasks.items()}
