"""The jobs of a cluster, as its Jobs API lists them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from unified_mlops.records import Alias, Edge, Node, Observation, Scalar
from unified_mlops_ray.dashboard import Cluster
from unified_mlops_ray.secrets import MASK, is_secret, masked

ENDED = frozenset({"SUCCEEDED", "FAILED", "STOPPED"})
_RULE = "ray.jobs"
_LONGEST = 500

Job = Mapping[str, Any]


def uri(session: str, job_id: str, submission: str) -> str:
    """The URN of a job: by its submission, or by its driver where it was not submitted."""
    return f"ray://{session}/jobs/{quote(submission or job_id, safe='')}"


def aliases(session: str, job_id: str, submission: str) -> tuple[Alias, ...]:
    """The names by which other records speak of a job."""
    place = uri(session, job_id, submission)
    found = []
    if submission:
        found.append(Alias(f"ray:job/{submission}", place, f"ray://{session}"))
    if job_id:
        found.append(Alias(f"ray:driver/{session}/{job_id}", place, f"ray://{session}"))
    return tuple(found)


def observations(cluster: Cluster, seen: set[str]) -> tuple[list[Observation], list[str]]:
    """The jobs that began or ended since, and a mark of each job that the cluster knows.

    Args:
        cluster: whose jobs.
        seen: the marks that were returned before.

    Raises:
        BackendError: the cluster does not answer.
    """
    found, marks = [], []
    for job in cluster.ask("/api/jobs/"):
        if job.get("status") == "PENDING":  # has not begun, and may wait for days
            continue
        mark = f"{job.get('submission_id') or job.get('job_id')}:{_state(job)}:{job.get('job_id')}"
        marks.append(mark)
        if mark not in seen:
            found.append(_observation(cluster, job))
    return found, marks


def _observation(cluster: Cluster, job: Job) -> Observation:
    job_id, submission = str(job.get("job_id") or ""), str(job.get("submission_id") or "")
    place = uri(cluster.session, job_id, submission)
    begin, end = _seconds(job.get("start_time")), _seconds(job.get("end_time"))
    nodes = (
        Node(cluster.uri, "cluster", cluster.session),
        Node(place, "job", submission or job_id, _attributes(job), begin),
    )
    edges = (Edge(cluster.uri, "PARENT_OF", place, "recorded", _RULE),)
    names = aliases(cluster.session, job_id, submission)
    return Observation(place, nodes, edges, aliases=names, time=end if _ended(job) else begin)


def _attributes(job: Job) -> dict[str, Scalar]:
    entrypoint = masked(str(job.get("entrypoint") or ""))
    shown: dict[str, Scalar] = {"state": _state(job), "entrypoint": entrypoint[:_LONGEST]}
    if _ended(job) and (end := _seconds(job.get("end_time"))) is not None:
        shown["ended"] = end
    for name, value in (job.get("metadata") or {}).items():
        text = MASK if is_secret(str(name)) else masked(str(value))[:_LONGEST]
        shown[f"metadata.{masked(str(name))}"] = text
    return {key: value for key, value in shown.items() if value != ""}


def _ended(job: Job) -> bool:
    return job.get("status") in ENDED


def _state(job: Job) -> str:
    return str(job["status"]) if _ended(job) else "RUNNING"


def _seconds(milliseconds: object) -> float | None:
    return milliseconds / 1000 if isinstance(milliseconds, int | float) else None
