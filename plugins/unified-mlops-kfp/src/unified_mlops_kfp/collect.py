"""The lineage of past runs, read from the files that they left below the pipeline root.

<root>/<pipeline>/<job>/job.json                          the run, its definition, its states
<root>/<pipeline>/<job>/<task>/executor_input.json        what a task was given
<root>/<pipeline>/<job>/<task>/executor_output.json       what it made
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from unified_mlops.records import Collection, Edge, Node, Observation, Scalar
from unified_mlops_kfp.convert import URI_KEY, edges, inputs, location, outputs

_TICK = 10 * 10**6
"""Nanoseconds by which a file's time may lag behind the clock."""
_SHORT = 200


def collect(root: Path, cursor: str | None) -> Collection:
    """The runs and tasks whose files changed since the cursor, or may have while it was taken."""
    since, started = int(cursor or 0), time.time_ns() - _TICK
    newest = since
    found: list[Observation] = []
    for folder in sorted(root.glob("*/*")):
        job = _read(folder / "job.json") or {}
        changed = _changed(folder / "job.json")
        newest = max(newest, changed)
        if job and changed >= since:
            found.append(_run(folder, job))
        for file in sorted(folder.glob("*/executor_input.json")):
            last = max(changed, _changed(file), _changed(file.with_name("executor_output.json")))
            newest = max(newest, last)
            if last >= since and (given := _read(file)):
                found.append(_task(folder.name, file.parent.name, job, given))
    return Collection(tuple(found), str(min(newest, started)) if newest else cursor)


def _run(folder: Path, job: Mapping[str, Any]) -> Observation:
    uri = f"kfp://local/runs/{folder.name}"
    attributes = {"state": str(job.get("state", "")), **_short("", job.get("parameters", {}))}
    definition = job["pipeline"]
    return Observation(
        key=f"run/{folder.name}",
        nodes=(
            Node(uri, "pipeline_run", folder.name, attributes),
            Node(definition["uri"], "pipeline", definition["name"]),
        ),
        edges=(Edge(definition["uri"], "PARENT_OF", uri, "recorded", "kfp.job"),),
    )


def _task(job_id: str, name: str, job: Mapping[str, Any], given: Mapping[str, Any]) -> Observation:
    run = f"kfp://local/runs/{job_id}"
    uri = f"{run}/{name}"
    parameters, made = outputs(given)
    attributes = {
        "state": str(job.get("tasks", {}).get(name, {}).get("state", "")),
        **_short("input.", given["inputs"].get("parameterValues", {})),
        **_short("output.", parameters),
    }
    artifacts = [*inputs(given), *(item for items in made.values() for item in items)]
    return Observation(
        key=f"task/{job_id}/{name}",
        nodes=(
            Node(uri, "task", name, attributes),
            *(() if job else (Node(run, "pipeline_run", job_id),)),
            *_nodes(artifacts),
        ),
        edges=(Edge(run, "PARENT_OF", uri, "recorded", "kfp.job"), *edges(uri, given, made)),
        unresolved=tuple(str(item.get("uri")) for item in artifacts if location(item) is None),
    )


def _nodes(artifacts: list[Mapping[str, Any]]) -> Iterator[Node]:
    for artifact in artifacts:
        if uri := location(artifact):
            title = artifact.get("type", {}).get("schemaTitle", "")
            metadata = {k: v for k, v in artifact.get("metadata", {}).items() if k != URI_KEY}
            kind = "model" if title == "system.Model" else "dataset"
            yield Node(uri, kind, artifact.get("name", ""), _short("", metadata))


def _short(prefix: str, values: Mapping[str, Any]) -> dict[str, Scalar]:
    """Values that fit on a page: numbers, and text that is not long."""
    found: dict[str, Scalar] = {}
    for name, value in values.items():
        plain = isinstance(value, int | float | str) and not isinstance(value, bool)
        shown: Scalar = value if plain else json.dumps(value)
        if len(str(shown)) <= _SHORT:
            found[prefix + name] = shown
    return found


def _changed(file: Path) -> int:
    return file.stat().st_mtime_ns if file.exists() else 0


def _read(file: Path) -> dict[str, Any] | None:
    """A file of a run; None where it is not there, or only half written."""
    try:
        content: dict[str, Any] = json.loads(file.read_text())
    except (OSError, ValueError):
        return None
    return content
