"""What is to be run, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from unified_mlops.pipelines.inputs import Values
from unified_mlops.records import Artifacts, JobState, PipelineRecord, TaskRecord

EMBEDDED = "kfp"
"""The plugin that runs tasks on this machine."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a job is run.

    Args:
        caching: whether outputs of earlier runs are taken; None as each task says.
        max_age: how old these may be, in seconds; None for any age.
        failure_policy: `slow` goes on with what a failed task does not touch, `fast` starts no
            more.
    """

    caching: bool | None = None
    max_age: float | None = None
    failure_policy: Literal["slow", "fast"] = "slow"


@dataclass(frozen=True, slots=True)
class JobResult:
    """A job that has ended.

    Args:
        state: `PIPELINE_STATE_FAILED` if any task failed.
        tasks: every task and group of tasks by its name.
        outputs: the pipeline's output parameters.
        artifacts: the pipeline's output artifacts, as KFP writes them.
        error: what went wrong; empty for nothing.
    """

    state: JobState
    tasks: Mapping[str, TaskRecord]
    outputs: Mapping[str, Any] = field(default_factory=dict)
    artifacts: Artifacts = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True)
class Plan:
    """What is to be run.

    Args:
        pipeline: the compiled pipeline.
        job_id: names the run.
        root: the folder, or the URI of the store, for what pipelines make.
        parameters: the pipeline's parameters.
        artifacts: the pipeline's input artifacts: a URI, KFP's form of an artifact, or a list.
        provider: the plugin that runs the tasks.
        options: how.
        display_name: for people.
        labels: for people and filters.
        experiment: where its runs are recorded.
        scheduled: when it was to begin, in RFC 3339; now where empty.
    """

    pipeline: PipelineRecord
    job_id: str
    root: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    artifacts: Mapping[str, Any] = field(default_factory=dict)
    provider: str = EMBEDDED
    options: Options = Options()
    display_name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    experiment: str | None = None
    scheduled: str = ""


def run_uri(job_id: str) -> str:
    """The URN of a run on this machine."""
    return f"kfp://local/runs/{job_id}"


@dataclass(frozen=True, slots=True)
class Walked:
    """What a walk came to.

    Args:
        tasks: every task and group by its name.
        values: what the pipeline gives out.
        cancelled: whether it was stopped.
        error: what stopped it from within; empty for nothing.
    """

    tasks: Mapping[str, TaskRecord]
    values: Values
    cancelled: bool
    error: str = ""
