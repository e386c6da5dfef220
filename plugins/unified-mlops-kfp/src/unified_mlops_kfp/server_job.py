"""A run of a KFP server, as its API tells it -> the record of a job, with its tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from unified_mlops.records import (
    Artifacts,
    JobState,
    PipelineJobRecord,
    PipelineRecord,
    Ref,
    TaskRecord,
    TaskState,
)
from unified_mlops_kfp.server_run import ServerRun, seconds
from unified_mlops_kfp.shown import clean

OURS = "unified_mlops job "
"""Begins the description of a run that was submitted here; the job's id follows."""

_JOB: Mapping[str, JobState] = {
    "RUNNING": "PIPELINE_STATE_RUNNING",
    "SUCCEEDED": "PIPELINE_STATE_SUCCEEDED",
    "SKIPPED": "PIPELINE_STATE_SUCCEEDED",
    "FAILED": "PIPELINE_STATE_FAILED",
    "CANCELING": "PIPELINE_STATE_CANCELLING",
    "CANCELED": "PIPELINE_STATE_CANCELLED",
    "PAUSED": "PIPELINE_STATE_PAUSED",
}
_TASK: Mapping[str, TaskState] = {
    "RUNNING": "RUNNING",
    "PAUSED": "RUNNING",
    "CANCELING": "RUNNING",
    "SUCCEEDED": "SUCCEEDED",
    "FAILED": "FAILED",
    "CANCELED": "CANCELLED",
    # the workflow's word for a branch not taken; a task from the cache is told as SUCCEEDED
    "SKIPPED": "NOT_TRIGGERED",
}
_STOPPED: Mapping[TaskState, TaskState] = {"PENDING": "NOT_TRIGGERED", "RUNNING": "CANCELLED"}
"""What becomes of a task that had not ended when its job did."""


def job_record(
    server: str,
    run: Mapping[str, Any],
    definition: PipelineRecord | None,
    experiment: str,
    *,
    tasks: bool,
) -> PipelineJobRecord:
    """The record of a run.

    Args:
        server: the server's URN.
        run: what its API tells.
        definition: what the run runs; without it there are no tasks in the record.
        experiment: the name of its experiment.
        tasks: whether the record has its tasks.
    """
    key, said = str(run["run_id"]), str(run.get("description") or "")
    config = run.get("runtime_config") or {}
    state = _JOB.get(str(run.get("state")), "PIPELINE_STATE_PENDING")
    found = _tasks(server, run, definition, has_ended(state)) if tasks else ()
    by_name = {task.name: task for task in found}
    error = _error(run)
    if state == "PIPELINE_STATE_FAILED" and not error:
        failed = [repr(name) for name, task in by_name.items() if task.state == "FAILED"]
        error = f"failed: {', '.join(failed)}" if failed else "the server does not say why"
    return PipelineJobRecord(
        ref=Ref("kfp", "pipeline_run", key, f"{server}/runs/{key}"),
        name=said.removeprefix(OURS) if said.startswith(OURS) else key,
        display_name=str(run.get("display_name") or key),
        pipeline=definition.name if definition else "",
        state=state,
        parameters=config.get("parameters") or {},
        tasks=by_name,
        experiment=experiment,
        root=str(config.get("pipeline_root") or ""),
        error=error,
        created=seconds(run.get("created_at")),
        ended=seconds(run.get("finished_at")),
    )


def has_ended(state: JobState) -> bool:
    """Whether a job in this state will not change any more."""
    return state.endswith(("SUCCEEDED", "FAILED", "CANCELLED"))


def _tasks(
    server: str, run: Mapping[str, Any], definition: PipelineRecord | None, ended: bool
) -> Iterator[TaskRecord]:
    if definition is None:
        return
    key, spec = str(run["run_id"]), definition.spec
    within = dict(_places(spec, spec["root"], ""))
    found = list(ServerRun(server, key, run, definition).told())
    told = {str(detail.get("display_name")) for _, detail in found}
    for each in (run.get("run_details") or {}).get("task_details") or ():
        name = str(each.get("display_name"))
        if name in within and name not in told:  # a group: a condition, a loop, a nested pipeline
            found.append((name, each))
    seen = {label for label, _ in found} | told
    found += [(name, {"display_name": name}) for name in within if name not in seen]
    for label, detail in found:
        state = _TASK.get(str(detail.get("state")), "PENDING")
        yield TaskRecord(
            ref=Ref("kfp", "task", f"{key}/{label}", f"{server}/runs/{key}/{label}"),
            name=label,
            state=_STOPPED.get(state, state) if ended else state,
            within=within.get(str(detail.get("display_name")), ""),
            received=_artifacts(detail.get("inputs")),
            artifacts=_artifacts(detail.get("outputs")),
            error=_error(detail),
            started=seconds(detail.get("start_time")),
            ended=seconds(detail.get("end_time")),
        )


def _places(
    spec: Mapping[str, Any], graph: Mapping[str, Any], within: str
) -> Iterator[tuple[str, str]]:
    """The name of each task, and the group that it stands in."""
    for name, task in graph.get("dag", {}).get("tasks", {}).items():
        yield name, within
        yield from _places(spec, spec["components"].get(task["componentRef"]["name"], {}), name)


def _artifacts(told: Mapping[str, Any] | None) -> Artifacts:
    """The artifacts of a task: the API tells what ML Metadata calls them, and no more."""
    return {
        name: [{"name": str(key)} for key in (item or {}).get("artifact_ids") or ()]
        for name, item in (told or {}).items()
    }


def _error(told: Mapping[str, Any]) -> str:
    """What the server says went wrong with a run or a task: at last, or in an earlier state."""
    for each in (told, *reversed(told.get("state_history") or ())):
        if message := (each.get("error") or {}).get("message"):
            return clean(str(message))
    return ""
