"""Whole pipelines on a server that only counts: a job goes one step further at each look."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from unified_mlops.errors import AlreadyExistsError, ArgumentError
from unified_mlops.hookspecs import PipelineHooks
from unified_mlops.records import (
    Edge,
    JobRequest,
    JobState,
    PipelineJobRecord,
    PipelineRecord,
    Ref,
    TaskRecord,
    TaskState,
)
from unified_mlops.testing.memory.store import PLUGIN, Store

_NEXT: Mapping[JobState, tuple[JobState, TaskState]] = {
    "PIPELINE_STATE_PENDING": ("PIPELINE_STATE_RUNNING", "RUNNING"),
    "PIPELINE_STATE_RUNNING": ("PIPELINE_STATE_SUCCEEDED", "SUCCEEDED"),
    "PIPELINE_STATE_CANCELLING": ("PIPELINE_STATE_CANCELLED", "CANCELLED"),
}
"""What a look brings a job and its tasks to."""


class MemoryPipelineJobs(Store, PipelineHooks):
    """Jobs whose components are taken to have run: nothing is executed."""

    def mlops_submit_pipeline(self, pipeline: PipelineRecord, job: JobRequest) -> PipelineJobRecord:
        """Hold a job that has not begun."""
        _check(pipeline, job)
        if self.mlops_list_pipeline_jobs(job.name):
            raise AlreadyExistsError(f"there is a job {job.name!r}", hint="give another job_id")
        ref = self._ref("pipeline_run")
        names = pipeline.spec["root"]["dag"]["tasks"]
        record = PipelineJobRecord(
            ref=ref,
            name=job.name,
            display_name=job.display_name,
            pipeline=pipeline.name,
            state="PIPELINE_STATE_PENDING",
            parameters=dict(job.parameters),
            tasks={name: _task(ref, name) for name in names},
            experiment=job.experiment,
            root=job.root,
            created=time.time(),
        )
        edge = Edge(pipeline.ref.uri, "PARENT_OF", ref.uri)
        return self._keep(record, job.name, [edge])

    def mlops_get_pipeline_job(self, job: Ref) -> PipelineJobRecord:
        """Return a job one step further than it was."""
        record = self._find(PipelineJobRecord, job)
        if record.state not in _NEXT:
            return record
        state, of_tasks = _NEXT[record.state]
        tasks = {name: replace(task, state=of_tasks) for name, task in record.tasks.items()}
        ended = None if state == "PIPELINE_STATE_RUNNING" else time.time()
        record = replace(record, state=state, tasks=tasks, ended=ended)
        return self._keep(record, record.name)

    def mlops_list_pipeline_jobs(self, name: str) -> list[PipelineJobRecord]:
        """Return the jobs as they are, without their tasks."""
        held = [job for job in self._all(PipelineJobRecord) if name in {"", job.name}]
        return [replace(job, tasks={}) for job in held]

    def mlops_cancel_pipeline_job(self, job: Ref) -> PipelineJobRecord:
        """Let the next look end a job."""
        record = self._find(PipelineJobRecord, job)
        if record.state not in _NEXT:
            return record
        return self._keep(replace(record, state="PIPELINE_STATE_CANCELLING"), record.name)

    def mlops_delete_pipeline_job(self, job: Ref) -> None:
        """Forget a job that has ended."""
        record = self._find(PipelineJobRecord, job)
        if record.state in _NEXT:
            raise ArgumentError(f"job {record.name!r} has not ended", hint="cancel it first")
        del self.held[job.uri]


def _task(job: Ref, name: str) -> TaskRecord:
    ref = Ref(PLUGIN, "task", f"{job.id}/{name}", f"{job.uri}/{name}")
    return TaskRecord(ref=ref, name=name, state="PENDING")


def _check(pipeline: PipelineRecord, job: JobRequest) -> None:
    known = pipeline.spec["root"].get("inputDefinitions", {}).get("parameters", {})
    for name in job.parameters.keys() - known.keys():
        raise ArgumentError(f"there is no parameter {name!r}", hint=f"one of: {', '.join(known)}")
    for name, definition in known.items():
        if name not in job.parameters and not definition.keys() & {"isOptional", "defaultValue"}:
            raise ArgumentError(f"the parameter {name!r} is missing", hint="give it a value")
