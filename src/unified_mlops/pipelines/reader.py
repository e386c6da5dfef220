"""KFP's compiled file, read as plain values into `spec`'s dataclasses.

What cannot be run is refused here, by its name, before any task runs.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from unified_mlops.errors import ArgumentError
from unified_mlops.pipelines import kubernetes
from unified_mlops.pipelines.condition import Condition
from unified_mlops.pipelines.spec import (
    Component,
    Constant,
    Input,
    Loop,
    Output,
    Parameter,
    Pipeline,
    Retry,
    Source,
    Status,
    Task,
    unsupported,
    walk,
)
from unified_mlops.pipelines.values import check_placeholders, known_types, whole

_PART = re.compile(r"""parseJson\(string_value\)\[(["'])(.*)\1\]""")
_ALWAYS = "ALL_UPSTREAM_TASKS_COMPLETED"


def read(spec: Mapping[str, Any]) -> Pipeline:
    """The pipeline that a compiled file describes.

    Raises:
        ArgumentError: this is no compiled pipeline.
        UnsupportedError: it uses what the runner cannot run; names it.
    """
    version = str(spec.get("schemaVersion", ""))
    if not version.startswith("2.1"):
        raise unsupported(f"schema version {version!r}", "compile it with kfp 2")
    try:
        name = str(spec["pipelineInfo"]["name"])
        settings = kubernetes.read(spec.get("platforms", {}))
        root = _Reader(spec, settings).component(spec["root"], "")
    except (KeyError, TypeError, AttributeError) as error:
        raise ArgumentError(
            f"this compiled pipeline is damaged: {type(error).__name__}: {error}",
            hint="compile it again with kfp.compiler.Compiler().compile(pipeline, path)",
        ) from error
    return Pipeline(name, root, settings.workspace, _names(root))


def takes(spec: Mapping[str, Any]) -> Pipeline:
    """The pipeline as far as its inputs go, whatever else is in the file."""
    inputs = {"inputDefinitions": spec["root"].get("inputDefinitions", {}), "dag": {}}
    root = _Reader({}, kubernetes.Settings()).component(inputs, "")
    return Pipeline(str(spec["pipelineInfo"]["name"]), root, False, {})


def _names(root: Component) -> dict[str, str]:
    """For each task's path the shortest end of it that is unique in the pipeline."""
    ends = {task.path: tuple(_ends(task.path)) for task in walk(root)}
    uses = Counter(end for of_path in ends.values() for end in of_path)
    return {
        path: next(end for end in of_path if uses[end] == 1 or end == path)
        for path, of_path in ends.items()
    }


def _ends(path: str) -> Iterator[str]:
    """`c`, `b.c` and `a.b.c` of `a.b.c`."""
    parts = path.split(".")
    for start in reversed(range(len(parts))):
        yield ".".join(parts[start:])


class _Reader:
    def __init__(self, spec: Mapping[str, Any], settings: kubernetes.Settings) -> None:
        self._components = spec.get("components", {})
        self._executors = spec.get("deploymentSpec", {}).get("executors", {})
        self._settings = settings

    def component(self, raw: Mapping[str, Any], path: str) -> Component:
        inputs, outputs = raw.get("inputDefinitions", {}), raw.get("outputDefinitions", {})
        dag, label = raw.get("dag", {}), raw.get("executorLabel", "")
        tasks = {
            name: self._task(task, f"{path}.{name}" if path else name)
            for name, task in dag.get("tasks", {}).items()
        }
        _check_order(tasks)
        return Component(
            {name: _parameter(item, name) for name, item in _part(inputs, "parameters")},
            {name: bool(item.get("isOptional")) for name, item in _part(inputs, "artifacts")},
            {name: _type(item, name) for name, item in _part(outputs, "parameters")},
            {name: item["artifactType"] for name, item in _part(outputs, "artifacts")},
            None if "dag" in raw else self._executor(label, path),
            self._settings.secrets.get(label, ()),
            tasks,
            dict(_selected(dag.get("outputs", {}))),
        )

    def _executor(self, label: str, path: str) -> Mapping[str, Any]:
        executor: Mapping[str, Any] = self._executors[label]
        kind = next(iter(executor))
        if kind not in ("container", "importer"):
            raise unsupported(f"task {path!r}: {kind!r} executor")
        return executor

    def _task(self, raw: Mapping[str, Any], path: str) -> Task:
        _check_name(path)
        inputs, trigger = raw.get("inputs", {}), raw.get("triggerPolicy", {})
        parameters = {name: _source(item, path) for name, item in _part(inputs, "parameters")}
        artifacts = {name: _source(item, path) for name, item in _part(inputs, "artifacts")}
        sources = (*parameters.values(), *artifacts.values())
        producers = {source.task for source in sources if isinstance(source, Output | Status)}
        caching = raw.get("cachingOptions", {})
        condition = trigger.get("condition")
        return Task(
            path,
            self.component(self._components[raw["componentRef"]["name"]], path),
            parameters,
            artifacts,
            frozenset(producers | set(raw.get("dependentTasks", ()))),
            Condition(condition) if condition else None,
            trigger.get("strategy") == _ALWAYS,
            _loop(raw, path),
            _retry(raw.get("retryPolicy", {})),
            bool(caching.get("enableCache")),
            str(caching.get("cacheKey", "")),
        )


def _check_name(path: str) -> None:
    """A task's name is a folder's name too."""
    name = path.rpartition(".")[2]
    if not name or set(name) & set("/\\[]\0"):
        raise ArgumentError(f"{name!r} cannot be the name of a task", hint="compile it with kfp 2")


def _part(mapping: Mapping[str, Any], key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield from mapping.get(key, {}).items()


def _check_order(tasks: Mapping[str, Task]) -> None:
    for task in tasks.values():
        for name in task.after - set(tasks):
            raise ArgumentError(f"task {task.path!r} comes after {name!r}, which is not there")
    try:
        TopologicalSorter({name: task.after for name, task in tasks.items()}).prepare()
    except CycleError as error:
        raise ArgumentError(f"these tasks wait for one another: {error.args[1]}") from error


def _loop(raw: Mapping[str, Any], path: str) -> Loop | None:
    limit = int(raw.get("iteratorPolicy", {}).get("parallelismLimit", 0))
    for kind in ("parameter", "artifact"):
        if iterator := raw.get(f"{kind}Iterator"):
            items = iterator["items"]
            source: Constant | Input
            if "raw" in items:
                source = Constant(_constant(json.loads(items["raw"]), f"task {path!r}"))
            else:
                source = Input(items[f"input{kind.capitalize()}"])
            return Loop(source, iterator["itemInput"], kind == "artifact", limit)
    return None


def _retry(raw: Mapping[str, Any]) -> Retry:
    names = {"wait": "backoffDuration", "longest": "backoffMaxDuration"}
    seconds = {name: float(raw[key].rstrip("s")) for name, key in names.items() if key in raw}
    return Retry(int(raw.get("maxRetryCount", 0)), factor=raw.get("backoffFactor", 2.0), **seconds)


def _source(raw: Mapping[str, Any], path: str) -> Source:
    key = _key(raw.get("parameterExpressionSelector", ""), path)
    for kind in ("Parameter", "Artifact"):
        if made := raw.get(f"taskOutput{kind}"):
            return Output(made["producerTask"], made[f"output{kind}Key"], key)
        if f"componentInput{kind}" in raw:
            return Input(raw[f"componentInput{kind}"], key)
    if "taskFinalStatus" in raw:
        return Status(raw["taskFinalStatus"]["producerTask"])
    if "constant" in raw.get("runtimeValue", {}):
        return Constant(_constant(raw["runtimeValue"]["constant"], f"task {path!r}"))
    raise unsupported(f"task {path!r}: an input from {' and '.join(raw)!r}")


def _key(selector: str, path: str) -> str | None:
    found = _PART.fullmatch(selector)
    if selector and not found:
        raise unsupported(f"task {path!r}: the selector {selector!r}")
    return found[2] if found else None


def _constant(value: Any, where: str) -> Any:
    check_placeholders(value, where)
    return whole(value)


def _parameter(raw: Mapping[str, Any], name: str) -> Parameter:
    kind = _type(raw, name)
    default = _constant(raw.get("defaultValue"), f"parameter {name!r}")
    optional = bool(raw.get("isOptional")) or default is not None or kind == "TASK_CONFIG"
    return Parameter(kind, optional, default)


def _type(raw: Mapping[str, Any], name: str) -> str:
    kind = str(raw["parameterType"])
    if kind not in known_types():
        raise unsupported(f"parameter {name!r} of type {kind}")
    return kind


def _selected(outputs: Mapping[str, Any]) -> Iterator[tuple[str, tuple[Output, ...]]]:
    for name, raw in _part(outputs, "parameters"):
        one = raw.get("valueFromParameter")
        several = raw.get("valueFromOneof", {}).get("parameterSelectors", ())
        selectors = (one,) if one else several
        yield name, tuple(Output(s["producerSubtask"], s["outputParameterKey"]) for s in selectors)
    for name, raw in _part(outputs, "artifacts"):
        selectors = raw["artifactSelectors"]
        yield name, tuple(Output(s["producerSubtask"], s["outputArtifactKey"]) for s in selectors)
