"""What Ray Data read and wrote, as its driver logged it: a JSON object for each execution."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from unified_mlops.errors import LineageError
from unified_mlops.lineage.urn import canonical
from unified_mlops.records import Edge, Node, Observation
from unified_mlops_ray import jobs, logs
from unified_mlops_ray.secrets import masked

_RULE = "ray.data"


def observations(folder: Path, seen: dict[str, int]) -> list[Observation]:
    """What was logged since; `seen` holds how much of each log was read, and is brought up to date.

    Raises:
        BackendError: the system does not let us read a log.
    """
    found, read = [], {}
    for path in sorted(folder.glob("*.jsonl")):
        lines, read[path.name] = logs.read(path, seen.get(path.name, 0))
        found += [_observation(place, line) for place, line in lines]
    seen.update(read)  # all or none: what was found before a failure is found again
    return found


def _observation(place: str, line: Mapping[str, Any] | None) -> Observation:
    session, _, job_id = str((line or {}).get("job") or "").partition("/")
    if line is None or not session:
        return Observation(place, unresolved=(place,))
    submission = str(line.get("submission") or "")
    job = jobs.uri(session, job_id, submission)
    time = line.get("time")
    reads, writes = list(_places(line.get("reads"))), list(_places(line.get("writes")))
    known = [uri for uri, _ in (*reads, *writes) if uri]
    edges = [Edge(uri, "INPUT", job, "recorded", _RULE) for uri, _ in reads if uri]
    edges += [Edge(job, "OUTPUT", uri, "recorded", _RULE) for uri, _ in writes if uri]
    return Observation(
        place,
        (Node(job, "job", submission or job_id), *(_dataset(uri) for uri in dict.fromkeys(known))),
        tuple(dict.fromkeys(edges)),
        tuple(f"{job}: {masked(text)}" for uri, text in (*reads, *writes) if not uri),
        aliases=jobs.aliases(session, job_id, submission),
        time=float(time) if isinstance(time, int | float) else None,
    )


def _places(texts: Any) -> Iterator[tuple[str, str]]:
    """The URN of each text, empty where it is relative to what nobody knows, and the text."""
    for text in texts if isinstance(texts, list) else ():
        try:
            yield canonical(str(text)), str(text)
        except LineageError:
            yield "", str(text)


def _dataset(uri: str) -> Node:
    return Node(uri, "dataset", uri.rstrip("/").rpartition("/")[2])
