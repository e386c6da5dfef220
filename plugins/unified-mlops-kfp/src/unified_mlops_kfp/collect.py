"""The lineage of runs: ours and those of `kfp.local` from their files, a server's through its API.

<root>/<pipeline>/<job>/job.json                          the run, its definition, its states
<root>/<pipeline>/<job>/<task>/executor_input.json        what a task was given
<root>/<pipeline>/<job>/<task>/executor_output.json       what it made
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

from unified_mlops.errors import UnifiedMLOpsError
from unified_mlops.lineage.urn import canonical
from unified_mlops.pipelines.component import URI_KEY, edges, inputs, location, outputs
from unified_mlops.records import Alias, Collection, Edge, Node, Observation
from unified_mlops_kfp import files, local
from unified_mlops_kfp.definitions import Library, kind_of
from unified_mlops_kfp.server import Server
from unified_mlops_kfp.shown import clean, shown

_SCOPE = local.SCOPE
_INPUT, _OUTPUT, _JOB = "executor_input.json", "executor_output.json", "job.json"
_RUNNING = "PIPELINE_STATE_RUNNING"
_LONGEST = 1000
"""Bytes of a parameter's own file; a page shows less."""


def collect(
    root: Path,
    local_roots: Sequence[Path],
    definitions: Sequence[Path],
    server: Server | None,
    cursor: str | None,
) -> Collection:
    """What is new below the roots and on the server.

    Args:
        root: where our runs are; `kfp.local` may use it too.
        local_roots: where `kfp.local` leaves its runs.
        definitions: folders of compiled pipelines.
        server: a KFP server.
        cursor: where the last collection ended.

    Returns:
        What was found; a server that does not answer is a problem of it.

    Raises:
        BackendError: a root is no folder or cannot be read.
    """
    before = json.loads(cursor or "{}")
    state = before if isinstance(before, dict) else {}  # it was a mere number once
    found, now = _files(root, local_roots, Library(definitions), state)
    problems: list[Exception] = []
    if server:
        try:
            more, now["server"] = server.collect(state.get("server", {}))
            found += more
        except UnifiedMLOpsError as error:
            problems.append(error)
            now |= {"server": state["server"]} if "server" in state else {}
    return Collection(
        tuple(found), json.dumps(now) if found or len(now) > 1 else cursor, tuple(problems)
    )


def _files(
    root: Path, local_roots: Sequence[Path], library: Library, state: Mapping[str, Any]
) -> tuple[list[Observation], dict[str, Any]]:
    """What is new below the roots; all of `kfp.local` where the compiled pipelines changed."""
    now: dict[str, Any] = {"definitions": library.mark()}
    known = now["definitions"] == state.get("definitions", "")
    found: list[Observation] = []
    for folder in _there(root, local_roots):
        told = state.get(str(folder), {})
        own, after = _own(folder, told) if folder == root else ([], {})
        changes = files.Changes(told.get("local", {}) if known else {})
        found += [*own, *local.collect(folder, changes, library)]
        now[str(folder)] = {**after, "local": changes.state()}
    if not known:
        found += library.broken()
    return found, now


def _there(root: Path, local_roots: Sequence[Path]) -> Iterator[Path]:
    """The roots that exist, each once."""
    for folder in dict.fromkeys([root, *local_roots]):
        if files.is_there(folder, "root" if folder == root else "local"):
            yield folder


def _own(root: Path, state: Mapping[str, Any]) -> tuple[list[Observation], dict[str, Any]]:
    """Our own runs that changed; of those that are over, only the run's own file is looked at."""
    changes = files.Changes(state.get("own", {}))
    running, found = set(state.get("running", ())), []
    problems: list[str] = []
    for pipeline in files.folders(root, problems):
        if local.RUN.fullmatch(pipeline.name) or pipeline.name.startswith("."):
            continue
        for entry in files.folders(Path(pipeline.path), problems):
            key, folder = f"{pipeline.name}/{entry.name}", Path(entry.path)
            if key not in running and files.changed(folder, folder / _JOB) < changes.since:
                continue
            seen = list(_job(folder, key, changes))
            found += seen
            running.discard(key)
            if _still(folder):
                running.add(key)
    if problems:
        found.append(Observation(canonical(root), unresolved=tuple(map(clean, problems))))
    return found, {"own": changes.state(), "running": sorted(running)}


def _still(folder: Path) -> bool:
    """Whether a run may go on: its tasks change without its own file changing."""
    job = files.read_json(folder / _JOB, []) or {}
    return bool(job.get("state", _RUNNING) == _RUNNING)


def _job(folder: Path, key: str, changes: files.Changes) -> Iterator[Observation]:
    """A run and its tasks, each as one record."""
    problems: list[str] = []
    job = files.read_json(folder / _JOB, problems) or {}
    changed = files.changed(folder / _JOB)
    tasks = list(_tasks(folder, "", problems))
    if (job or problems) and changes.new(key, changed):
        run = partial(_run, folder, job, problems)
        yield files.whole(canonical(folder), files.modified(folder / _JOB), run)
    for task in tasks:
        own = (folder / task / _INPUT, folder / task / _OUTPUT)
        if changes.new(f"{key}/{task}", max(changed, files.changed(*own))):
            time = files.modified(folder / _JOB, *own)
            yield files.whole(
                canonical(folder / task), time, partial(_task, folder, task, job, time)
            )


def _tasks(folder: Path, prefix: str, problems: list[str]) -> Iterator[str]:
    """The tasks of a run by their folders: each iteration of a loop has folders of its own."""
    for entry in files.folders(folder / prefix, problems):
        name = f"{prefix}{entry.name}"
        if Path(entry.path, _INPUT).exists():
            yield name
        else:
            yield from _tasks(folder, f"{name}/", problems)


def _run(folder: Path, job: Mapping[str, Any], problems: Sequence[str]) -> Observation:
    uri = f"{_SCOPE}/runs/{folder.name}"
    attributes = {"state": str(job.get("state", "")), **shown("", job.get("parameters", {}))}
    nodes = [Node(uri, "pipeline_run", folder.name, attributes, _seconds(job.get("createTime")))]
    found = []
    if definition := job.get("pipeline"):
        nodes.append(Node(definition["uri"], "pipeline", definition["name"]))
        found.append(Edge(definition["uri"], "PARENT_OF", uri, "recorded", "kfp.job"))
    return Observation(
        key=canonical(folder),
        nodes=tuple(nodes),
        edges=tuple(found),
        unresolved=tuple(map(clean, problems)),
        aliases=(Alias(f"kfp:run/{folder.name}", uri, _SCOPE),),
        time=files.modified(folder / _JOB),
    )


def _task(folder: Path, name: str, job: Mapping[str, Any], time: float) -> Observation:
    run, place = f"{_SCOPE}/runs/{folder.name}", folder / name
    uri, state = f"{run}/{name}", job.get("tasks", {}).get(name, {}).get("state", "")
    problems: list[str] = []
    given = files.read_json(place / _INPUT, problems) or {}
    written = files.read_json(place / _OUTPUT, problems)
    ended = "outputs" in given and written is not None  # what a failed task promised is not there
    parameters, made = outputs(given, written or {}, _LONGEST) if ended else ({}, {})
    attributes = {
        "state": str(state),
        **shown("input.", given.get("inputs", {}).get("parameterValues", {})),
        **shown("output.", parameters),
    }
    artifacts = [*inputs(given), *(item for items in made.values() for item in items)]
    nodes = [Node(uri, "task", name, attributes, files.modified(place / _INPUT) or None)]
    nodes += [] if job else [Node(run, "pipeline_run", folder.name)]
    lost = [f"{uri}: {item.get('uri')!r}" for item in artifacts if location(item) is None]
    return Observation(
        key=canonical(place),
        nodes=(*nodes, *_nodes(artifacts)),
        edges=(Edge(run, "PARENT_OF", uri, "recorded", "kfp.job"), *edges(uri, given, made)),
        unresolved=tuple(map(clean, [*problems, *lost])),
        aliases=(Alias(f"kfp:task/{folder.name}/{name}", uri, _SCOPE),),
        time=time,
    )


def _nodes(artifacts: Sequence[Mapping[str, Any]]) -> Iterator[Node]:
    for artifact in artifacts:
        if uri := location(artifact):
            metadata = {k: v for k, v in artifact.get("metadata", {}).items() if k != URI_KEY}
            kind = kind_of(artifact.get("type", {}).get("schemaTitle", ""))
            yield Node(uri, kind, artifact.get("name", ""), shown("", metadata))


def _seconds(text: str | None) -> float | None:
    """A time as the runner writes it."""
    if not text:
        return None
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc).timestamp()
