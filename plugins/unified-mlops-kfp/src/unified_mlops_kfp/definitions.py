"""Compiled pipelines: finding them, and what one of them says of who reads what."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from unified_mlops.errors import ArgumentError, LineageError
from unified_mlops.lineage.urn import canonical
from unified_mlops.records import Edge, Node, Observation, PipelineRecord
from unified_mlops_kfp.convert import pipeline
from unified_mlops_kfp.files import LARGEST, changed, is_there
from unified_mlops_kfp.shown import clean
from unified_mlops_kfp.template import load

RULE = "kfp.definition"
_SUFFIXES = {".yaml", ".yml", ".json"}
_MARK = b"pipelineInfo"


@dataclass
class Library:
    """The compiled pipelines in some folders, read when they are asked for.

    Args:
        folders: where to look; not in the folders within.
    """

    folders: Sequence[Path]
    _broken: list[Observation] = field(default_factory=list)
    _found: dict[str, list[tuple[PipelineRecord, float]]] | None = None

    def mark(self) -> str:
        """Changes when a file comes, goes or changes."""
        seen = [(str(file), changed(file)) for file in self._files()]
        return hashlib.sha256(repr(seen).encode()).hexdigest()[:12] if seen else ""

    def named(self, name: str) -> list[tuple[PipelineRecord, float]]:
        """The definitions of a name, each once, and when their files were written."""
        if self._found is None:
            self._found = self._read()
        return self._found.get(name, [])

    def broken(self) -> list[Observation]:
        """The files that should be compiled pipelines and cannot be read."""
        self.named("")
        return self._broken

    def _read(self) -> dict[str, list[tuple[PipelineRecord, float]]]:
        found: dict[str, dict[str, tuple[PipelineRecord, float]]] = {}
        for file in self._files():
            try:
                if file.stat().st_size > LARGEST or _MARK not in file.read_bytes():
                    continue
                record = pipeline(load(file))
            except (OSError, ArgumentError) as error:
                said = error.fact if isinstance(error, ArgumentError) else f"{str(file)!r}: {error}"
                self._broken.append(Observation(canonical(file), unresolved=(said,)))
                continue
            written = found.setdefault(record.name, {}).get(record.ref.id, (record, 0.0))[1]
            found[record.name][record.ref.id] = record, max(written, file.stat().st_mtime)
        return {name: list(each.values()) for name, each in found.items()}

    def _files(self) -> Iterator[Path]:
        for folder in self.folders:
            if is_there(folder, "definitions"):
                yield from (
                    file
                    for file in sorted(folder.iterdir())
                    if file.suffix in _SUFFIXES and file.is_file()
                )


@dataclass(frozen=True)
class Found:
    """Where artifacts are, and why more of them may be missing."""

    uris: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()

    def __add__(self, other: Found) -> Found:
        return Found((*self.uris, *other.uris), (*self.gaps, *other.gaps))


@dataclass(frozen=True)
class Place:
    """Where a task stands: the iterations of loops that it is in, its name, its component."""

    prefix: str
    name: str
    component: str


class Record(Protocol):
    """What a run left: which of a definition's tasks it ran, and what they made."""

    def task(self, place: Place, /) -> str | None:
        """The URN of a task; None where nothing says that it ran."""

    def made(self, place: Place, output: str, /) -> Found:
        """The artifacts that a task made."""

    def iterations(self, loop: Place, /) -> Sequence[int] | None:
        """The iterations of a loop; None where they cannot be told apart."""


@dataclass(frozen=True)
class _Scope:
    """A graph of tasks within a run: where its tasks are, and the artifacts it was given."""

    component: Mapping[str, Any]
    prefix: str = ""
    given: Mapping[str, Found] = field(default_factory=dict)

    @property
    def tasks(self) -> Mapping[str, Any]:
        tasks: Mapping[str, Any] = self.component.get("dag", {}).get("tasks", {})
        return tasks


class Join:
    """Draws the edges that a definition adds to what a run left.

    Args:
        spec: the definition.
        run: what the run left.
        uri: the run's URN.
    """

    def __init__(self, spec: Mapping[str, Any], run: Record, uri: str) -> None:
        self.edges: dict[Edge, None] = {}
        self.nodes: dict[str, Node] = {}
        self.unresolved: dict[str, None] = {}
        self._components: Mapping[str, Any] = spec.get("components", {})
        self._executors: Mapping[str, Any] = spec.get("deploymentSpec", {}).get("executors", {})
        self._run = run
        self._uri = uri
        self._walk(_Scope(spec["root"]))

    def _walk(self, scope: _Scope) -> None:
        for name, task in scope.tasks.items():
            component = task["componentRef"]["name"]
            if "dag" in self._components.get(component, {}):
                for inner in self._inner(scope, name)[0]:
                    self._walk(inner)
            elif node := self._run.task(Place(scope.prefix, name, component)):
                for key, spec in task.get("inputs", {}).get("artifacts", {}).items():
                    found = self._source(scope, spec)
                    for uri in found.uris:
                        self.edges[Edge(uri, "INPUT", node, "derived", RULE)] = None
                    for gap in found.gaps:
                        self.unresolved[f"{node}: its input {key!r} {gap}"] = None

    def _source(self, scope: _Scope, spec: Mapping[str, Any]) -> Found:
        if produced := spec.get("taskOutputArtifact"):
            return self._output(scope, produced["producerTask"], produced["outputArtifactKey"])
        unknown = Found(gaps=("was given to the pipeline, and which artifact is recorded nowhere",))
        return scope.given.get(spec.get("componentInputArtifact", ""), unknown)

    def _output(self, scope: _Scope, name: str, key: str) -> Found:
        """What a task, or a graph of tasks, gave out under a name."""
        task = scope.tasks[name]
        reference = task["componentRef"]["name"]
        component = self._components.get(reference, {})
        if "dag" not in component:
            importer = self._executors.get(component.get("executorLabel"), {}).get("importer")
            if importer is not None:
                return self._imported(scope, name, task, importer)
            return self._run.made(Place(scope.prefix, name, reference), key)
        inners, found = self._inner(scope, name)
        out = component["dag"].get("outputs", {}).get("artifacts", {}).get(key, {})
        selectors = out.get("artifactSelectors", ())
        for inner in inners:
            parts = [
                self._output(inner, each["producerSubtask"], each.get("outputArtifactKey", key))
                for each in selectors
            ]
            total = sum(parts, Found())
            # of the branches of a condition only one ran
            found += Found(total.uris) if len(selectors) > 1 and total.uris else total
        return found

    def _inner(self, scope: _Scope, name: str) -> tuple[list[_Scope], Found]:
        """The graphs that a task stands for: one, or one for each iteration of a loop."""
        task = scope.tasks[name]
        place = Place(scope.prefix, name, task["componentRef"]["name"])
        component = self._components[place.component]
        given = {
            key: self._source(scope, spec)
            for key, spec in task.get("inputs", {}).get("artifacts", {}).items()
        }
        over = task.get("parameterIterator") or task.get("artifactIterator")
        if not over:
            return [_Scope(component, scope.prefix, given)], Found()
        there = self._run.iterations(place)
        if there is None:
            self.unresolved[f"{self._uri}: nothing tells the iterations of {name!r} apart"] = None
            said = f"comes out of the loop {name!r}, whose iterations nothing tells apart"
            return [], Found(gaps=(said,))
        scopes = [
            _Scope(component, f"{scope.prefix}{name}-iteration-{n}/", _item(over, given, n))
            for n in there
        ]
        return scopes, Found(gaps=tuple(_missing(name, over, there)))

    def _imported(
        self, scope: _Scope, name: str, task: Mapping[str, Any], importer: Mapping[str, Any]
    ) -> Found:
        """An importer leaves nothing behind: where its artifact is stands in the definition."""
        parameters = task.get("inputs", {}).get("parameters", {})
        given = parameters.get("uri", {}).get("runtimeValue", {}).get("constant")
        text = importer.get("artifactUri", {}).get("constant", given)
        if not isinstance(text, str) or "{{$" in text:
            return Found(gaps=(f"is imported by {name!r} from where a parameter said",))
        try:
            uri = canonical(text)
        except LineageError:
            said = f"is imported by {name!r} from the relative path {clean(text)!r}"
            return Found(gaps=(said,))
        node = f"{self._uri}/{scope.prefix}{name}"
        title = importer.get("typeSchema", {}).get("schemaTitle", "")
        self.nodes[node] = Node(node, "task", f"{scope.prefix}{name}")
        self.nodes[uri] = Node(uri, kind_of(title), clean(text).rstrip("/").rpartition("/")[2])
        self.edges[Edge(self._uri, "PARENT_OF", node, "derived", RULE)] = None
        self.edges[Edge(uri, "INPUT", node, "derived", RULE)] = None  # it was there before
        return Found((uri,))


def _item(over: Mapping[str, Any], given: Mapping[str, Found], number: int) -> Mapping[str, Found]:
    """What one iteration of a loop over artifacts is given: the item whose turn it is."""
    key, items = over.get("itemInput", ""), over.get("items", {}).get("inputArtifact", "")
    if items not in given:
        return given
    whole = given[items]
    if whole.gaps or number >= len(whole.uris):
        return {**given, key: Found(gaps=whole.gaps or ("is an item that nothing tells",))}
    return {**given, key: Found((whole.uris[number],))}


def _missing(name: str, over: Mapping[str, Any], there: Sequence[int]) -> Iterator[str]:
    """The iterations of a loop that left nothing, as far as one can know of them."""
    raw = over.get("items", {}).get("raw")
    count = len(json.loads(raw)) if raw else max(there, default=-1) + 1
    for number in sorted(set(range(count)) - set(there)):
        yield (
            f"comes from iteration {number} of the loop {name!r} too, which left no folder:"
            " it was cached, or did not run"
        )


def kind_of(title: str) -> str:
    """The noun for an artifact of one of KFP's types."""
    return "model" if title == "system.Model" else "dataset"


def titles(spec: Mapping[str, Any], component: str) -> dict[str, str]:
    """The types of the artifacts that a component makes, by name."""
    outputs = spec.get("components", {}).get(component, {}).get("outputDefinitions", {})
    return {
        key: item.get("artifactType", {}).get("schemaTitle", "")
        for key, item in outputs.get("artifacts", {}).items()
    }
