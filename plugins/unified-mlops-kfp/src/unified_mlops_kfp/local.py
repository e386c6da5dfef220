"""The lineage of what `kfp.local` ran, from the files that it leaves and the compiled pipeline.

<root>/<pipeline>-<time>/<component>/executor_output.json                      what a task made
<root>/<pipeline>-<time>/<loop>-iteration-<n>/<component>/executor_output.json

What a task was given is written nowhere, and a task that was cached leaves no folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from unified_mlops.lineage.urn import canonical
from unified_mlops.pipelines.component import URI_KEY, location, real
from unified_mlops.records import Alias, Edge, Node, Observation, PipelineRecord
from unified_mlops_kfp import files
from unified_mlops_kfp.definitions import RULE, Found, Join, Library, Place, kind_of, titles
from unified_mlops_kfp.shown import clean, shown

RUN = re.compile(r"(?P<name>.+)-(?P<time>\d{4}(-\d\d){5}-\d{6})")
"""The folder of a run: the pipeline's name and the local time at which it began."""
SCOPE = "kfp://local"
_ITERATION = re.compile(r"(?P<loop>.+)-iteration-(?P<number>\d+)")
_OUTPUT = "executor_output.json"


def collect(root: Path, changes: files.Changes, library: Library) -> Iterator[Observation]:
    """The runs below a root that changed, or all where the compiled pipelines did."""
    for entry in files.folders(root, []):
        if not RUN.fullmatch(entry.name):
            continue
        problems: list[str] = []
        folder = Path(entry.path)
        tasks = list(_tasks(folder, "", problems))
        places = [folder, *(folder / task for task in tasks)]
        written = [place / _OUTPUT for place in places[1:]]
        if changes.new(entry.path, files.changed(*places, *written)):
            run = _Run(folder, tasks, problems)
            yield files.whole(canonical(folder), run.time, partial(run.observe, library))


def _tasks(folder: Path, prefix: str, problems: list[str]) -> Iterator[str]:
    for entry in files.folders(folder / prefix, problems):
        name = f"{prefix}{entry.name}"
        if _ITERATION.fullmatch(entry.name) and not Path(entry.path, _OUTPUT).exists():
            yield from _tasks(folder, f"{name}/", problems)
        else:
            yield name


class _Run:
    """A run: its tasks by their folders, so that the iterations of a loop do not mix."""

    def __init__(self, folder: Path, tasks: Sequence[str], problems: list[str]) -> None:
        match = RUN.fullmatch(folder.name)
        self._name, moment = (match["name"], match["time"]) if match else (folder.name, "")
        self._begun = _moment(moment)
        self._folder = folder
        self._uri = f"{SCOPE}/runs/{folder.name}"
        self._problems = problems
        self._written = {task: files.read_json(folder / task / _OUTPUT, problems) for task in tasks}
        self.time = files.modified(folder, *(folder / task / _OUTPUT for task in tasks))

    # --- what a definition is joined with -----------------------------------------------------

    def task(self, place: Place, /) -> str | None:
        """The task that has a component's folder."""
        folder = place.prefix + _short(place.component)
        return f"{self._uri}/{folder}" if folder in self._written else None

    def made(self, place: Place, output: str, /) -> Found:
        """The artifacts in what a task wrote."""
        folder = place.prefix + _short(place.component)
        if folder not in self._written:
            said = f"comes from the task {place.prefix + place.name!r}, which left no folder"
            return Found(gaps=(f"{said}: it was cached, or did not run",))
        places = [location(each) for each in self._artifacts(folder).get(output, ())]
        uris = tuple(uri for uri in places if uri)
        said = f"comes from the task {place.prefix + place.name!r}, which wrote down no {output!r}"
        return Found(uris, () if uris else (said,))

    def iterations(self, loop: Place, /) -> Sequence[int] | None:
        """The iterations of which any task has left a folder."""
        found = set()
        for folder in self._written:
            if folder.startswith(loop.prefix):
                match = _ITERATION.fullmatch(folder.removeprefix(loop.prefix).partition("/")[0])
                if match and match["loop"] == loop.name:
                    found.add(int(match["number"]))
        return sorted(found)

    # --- the observation ----------------------------------------------------------------------

    def observe(self, library: Library) -> Observation:
        """What the run left, and what the definitions add that fit it."""
        fitting = [(one, at) for one, at in library.named(self._name) if self._fits(one)]
        definitions = [one for one, _ in fitting]
        joins = [Join(one.spec, self, self._uri) for one in definitions]
        nodes = {node.uri: node for node in self._nodes(definitions)}
        for node in (node for join in joins for node in join.nodes.values()):
            nodes.setdefault(node.uri, node)
        tasks = (
            Alias(f"kfp:task/{self._folder.name}/{task}", f"{self._uri}/{task}", SCOPE)
            for task in self._written
        )
        return Observation(
            key=canonical(self._folder),
            nodes=tuple(nodes.values()),
            edges=(*self._edges(), *self._agreed(joins, definitions)),
            unresolved=tuple(self._unresolved(joins, definitions)),
            aliases=(Alias(f"kfp:run/{self._folder.name}", self._uri, SCOPE), *tasks),
            time=max(self.time, *(at for _, at in fitting), 0.0),
        )

    def _fits(self, definition: PipelineRecord) -> bool:
        """Whether a definition knows every task that ran, and everything that they made."""
        for task, written in self._written.items():
            component = f"comp-{task.rpartition('/')[2]}"
            if component not in definition.spec.get("components", {}):
                return False
            made = (written or {}).get("artifacts", {})
            if not set(made) <= set(titles(definition.spec, component)):
                return False
        return True

    def _artifacts(self, task: str) -> dict[str, list[Mapping[str, Any]]]:
        made = (self._written[task] or {}).get("artifacts", {})
        return {key: item.get("artifacts", []) for key, item in made.items()}

    def _nodes(self, definitions: Sequence[PipelineRecord]) -> Iterator[Node]:
        attributes = {"pipeline": self._name}
        yield Node(self._uri, "pipeline_run", self._folder.name, attributes, self._begun)
        for one in definitions:
            yield Node(one.ref.uri, "pipeline", one.name)
        for task, written in self._written.items():
            values = shown("output.", (written or {}).get("parameterValues", {}))
            there_by = files.modified(self._folder / task) or None
            yield Node(f"{self._uri}/{task}", "task", task, values, there_by)
            component = f"comp-{task.rpartition('/')[2]}"
            known = [titles(one.spec, component) for one in definitions]
            for key, artifacts in self._artifacts(task).items():
                kind = kind_of(known[0].get(key, "") if known else "")
                for each in artifacts:
                    if uri := location(each):
                        metadata = {
                            k: v for k, v in each.get("metadata", {}).items() if k != URI_KEY
                        }
                        yield Node(uri, kind, str(each.get("name", key)), shown("", metadata))

    def _edges(self) -> Iterator[Edge]:
        for task in self._written:
            node = f"{self._uri}/{task}"
            yield Edge(self._uri, "PARENT_OF", node, "recorded", "kfp.folder")
            for each in (item for items in self._artifacts(task).values() for item in items):
                if uri := location(each):
                    yield Edge(node, "OUTPUT", uri, "recorded", "kfp.executor_output")
                    yield from real(uri, each)

    def _unresolved(
        self, joins: Sequence[Join], definitions: Sequence[PipelineRecord]
    ) -> Iterator[str]:
        yield from map(clean, self._problems)
        if not joins and self._written:
            yield (
                f"{self._uri}: kfp.local does not record what its tasks were given, and no compiled"
                f" definition of {self._name!r} fits:"
                " name its folder in definitions of [plugins.kfp]"
            )
        if len(joins) > 1:
            fitting = ", ".join(sorted(one.ref.id for one in definitions))
            yield f"{self._uri}: which definition it ran is not recorded; these fit: {fitting}"
        yield from dict.fromkeys(text for join in joins for text in join.unresolved)

    def _agreed(
        self, joins: Sequence[Join], definitions: Sequence[PipelineRecord]
    ) -> Iterator[Edge]:
        """What the definitions say: derived where all agree, inferred where only some do."""
        each = [
            {**join.edges, Edge(one.ref.uri, "PARENT_OF", self._uri, "derived", RULE): None}
            for join, one in zip(joins, definitions, strict=True)
        ]
        for edge in dict.fromkeys(edge for edges in each for edge in edges):
            sure = all(edge in edges for edges in each)
            yield edge if sure else replace(edge, level="inferred")


def _moment(text: str) -> float | None:
    """The local time in a folder's name; None where there is no such time."""
    try:
        return datetime.strptime(text, "%Y-%m-%d-%H-%M-%S-%f").timestamp()
    except ValueError:
        return None


def _short(component: str) -> str:
    """The folder of a component's task: kfp.local goes by the component, not by the task."""
    return component.removeprefix("comp-")
