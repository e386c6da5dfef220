"""KFP's compiled file as frozen dataclasses, read from plain values.

What the runner cannot run yet is refused here, by its name, before any task runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any

from unified_mlops.errors import ArgumentError, UnsupportedError
from unified_mlops.pipelines.condition import Condition
from unified_mlops.pipelines.values import (
    JOB_PLACEHOLDERS,
    fits,
    input_of,
    known_types,
    mismatch,
    placeholders,
    whole,
)


@dataclass(frozen=True, slots=True)
class Constant:
    """A value in the file, perhaps with placeholders in it."""

    value: Any


@dataclass(frozen=True, slots=True)
class Input:
    """An input of the component that a task stands in."""

    name: str


@dataclass(frozen=True, slots=True)
class Output:
    """An output of another task of the same component."""

    task: str
    key: str


Source = Constant | Input | Output


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter that a component takes."""

    type: str
    optional: bool
    default: Any


@dataclass(frozen=True, slots=True)
class Component:
    """A component: a container (`executor`), or tasks and what of theirs it gives out.

    Args:
        parameters: its input parameters.
        artifacts: its input artifacts, and whether each is optional.
        results: the type of each output parameter.
        products: the artifact type of each output artifact.
        executor: KFP's executor, where it is not a graph.
        tasks: its tasks, where it is a graph.
        selected: the task outputs that each output comes from: the first of them that ran.
    """

    parameters: Mapping[str, Parameter]
    artifacts: Mapping[str, bool]
    results: Mapping[str, str]
    products: Mapping[str, Mapping[str, Any]]
    executor: Mapping[str, Any] | None
    tasks: Mapping[str, Task]
    selected: Mapping[str, tuple[Output, ...]]


@dataclass(frozen=True, slots=True)
class Task:
    """A component with its inputs bound, and the tasks that go before it."""

    path: str
    component: Component
    parameters: Mapping[str, Source]
    artifacts: Mapping[str, Source]
    after: frozenset[str]
    condition: Condition | None


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A pipeline. `names` holds a name for each task by its path, unique in the pipeline."""

    name: str
    root: Component
    names: Mapping[str, str] = field(repr=False)

    def bind(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The given parameters, checked, with whole numbers as integers.

        Raises:
            ArgumentError: an unknown or a missing parameter; names the valid ones.
            ArgumentTypeError: a value of the wrong type.
        """
        known = self.root.parameters
        given = {name: whole(value) for name, value in parameters.items() if value is not None}
        takes = f"{self.name!r} takes: {', '.join(known) or 'no parameters'}"
        for name in parameters:
            if name not in known:
                raise ArgumentError(f"unknown pipeline parameter {name!r}", hint=takes)
        for name, parameter in known.items():
            if name not in given and not parameter.optional:
                raise ArgumentError(f"pipeline parameter {name!r} is missing", hint=takes)
            if name in given and not fits(given[name], parameter.type):
                raise mismatch(name, given[name], parameter.type)
        return given

    @property
    def leaves(self) -> tuple[str, ...]:
        """The names of the tasks that run a component of their own, in the file's order."""
        tasks = (task for task in walk(self.root) if task.component.executor is not None)
        return tuple(self.names[task.path] for task in tasks)


def walk(component: Component) -> Iterator[Task]:
    """Every task below a component, outer ones first."""
    for task in component.tasks.values():
        yield task
        yield from walk(task.component)


def read(spec: Mapping[str, Any]) -> Pipeline:
    """The pipeline that a compiled file describes.

    Raises:
        ArgumentError: this is no compiled pipeline.
        UnsupportedError: it uses what the runner cannot run; names it.
    """
    version = str(spec.get("schemaVersion", ""))
    if not version.startswith("2.1"):
        raise unsupported(f"schema version {version!r}", "compile it with kfp 2")
    if spec.get("platforms"):
        raise unsupported("settings for Kubernetes")
    try:
        name = str(spec["pipelineInfo"]["name"])
        root = _Reader(spec).component(spec["root"], "")
    except (KeyError, TypeError, AttributeError) as error:
        raise ArgumentError(
            f"this compiled pipeline is damaged: {type(error).__name__}: {error}",
            hint="compile it again with kfp.compiler.Compiler().compile(pipeline, path)",
        ) from error
    for key in (key for key, optional in root.artifacts.items() if not optional):
        raise unsupported(f"the pipeline's input artifact {key!r}")
    return Pipeline(name, root, _names(root))


def unsupported(what: str, instead: str = "submit it to a KFP server") -> UnsupportedError:
    """The error for a construct that is not run here."""
    return UnsupportedError(f"{what} cannot be run on this machine yet", hint=instead)


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
    def __init__(self, spec: Mapping[str, Any]) -> None:
        self._components = spec.get("components", {})
        self._executors = spec.get("deploymentSpec", {}).get("executors", {})

    def component(self, raw: Mapping[str, Any], path: str) -> Component:
        inputs, outputs = raw.get("inputDefinitions", {}), raw.get("outputDefinitions", {})
        dag = raw.get("dag", {})
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
            None if "dag" in raw else self._executor(raw["executorLabel"], path),
            tasks,
            dict(_selected(dag.get("outputs", {}))),
        )

    def _executor(self, label: str, path: str) -> Mapping[str, Any]:
        executor: Mapping[str, Any] = self._executors[label]
        kind = next(iter(executor))
        if kind != "container":
            raise unsupported(f"task {path!r}: {kind!r} executor")
        command = executor["container"].get("command", [])
        if not any("--component_module_path" in part for part in command[:-1]):
            raise unsupported(f"task {path!r}: a container component")
        return executor

    def _task(self, raw: Mapping[str, Any], path: str) -> Task:
        _check_constructs(raw, path)
        inputs = raw.get("inputs", {})
        parameters = {name: _source(item, path) for name, item in _part(inputs, "parameters")}
        artifacts = {name: _source(item, path) for name, item in _part(inputs, "artifacts")}
        sources = (*parameters.values(), *artifacts.values())
        producers = {source.task for source in sources if isinstance(source, Output)}
        condition = raw.get("triggerPolicy", {}).get("condition")
        return Task(
            path,
            self.component(self._components[raw["componentRef"]["name"]], path),
            parameters,
            artifacts,
            frozenset(producers | set(raw.get("dependentTasks", ()))),
            Condition(condition) if condition else None,
        )


def _part(mapping: Mapping[str, Any], key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield from mapping.get(key, {}).items()


def _check_constructs(raw: Mapping[str, Any], path: str) -> None:
    strategy = raw.get("triggerPolicy", {}).get("strategy", "")
    refused = {
        "a loop (dsl.ParallelFor)": "parameterIterator" in raw or "artifactIterator" in raw,
        "retries (set_retry)": raw.get("retryPolicy", {}).get("maxRetryCount"),
        "an exit handler (dsl.ExitHandler, ignore_upstream_failure)": "COMPLETED" in strategy,
    }
    for what, there in refused.items():
        if there:
            raise unsupported(f"task {path!r}: {what}")


def _check_order(tasks: Mapping[str, Task]) -> None:
    for task in tasks.values():
        for name in task.after - set(tasks):
            raise ArgumentError(f"task {task.path!r} comes after {name!r}, which is not there")
    try:
        TopologicalSorter({name: task.after for name, task in tasks.items()}).prepare()
    except CycleError as error:
        raise ArgumentError(f"these tasks wait for one another: {error.args[1]}") from error


def _source(raw: Mapping[str, Any], path: str) -> Source:
    for kind in ("Parameter", "Artifact"):
        if made := raw.get(f"taskOutput{kind}"):
            return Output(made["producerTask"], made[f"output{kind}Key"])
        if f"componentInput{kind}" in raw and "parameterExpressionSelector" not in raw:
            return Input(raw[f"componentInput{kind}"])
    if "constant" in raw.get("runtimeValue", {}):
        return Constant(_constant(raw["runtimeValue"]["constant"], f"task {path!r}"))
    raise unsupported(f"task {path!r}: an input from {' and '.join(raw)!r}")


def _constant(value: Any, where: str) -> Any:
    for found in placeholders(value):
        if found not in JOB_PLACEHOLDERS and input_of(found) is None:
            raise unsupported(f"{where}: the placeholder '{{{{$.{found}}}}}'")
    return whole(value)


def _parameter(raw: Mapping[str, Any], name: str) -> Parameter:
    default = _constant(raw.get("defaultValue"), f"parameter {name!r}")
    return Parameter(_type(raw, name), bool(raw.get("isOptional")) or default is not None, default)


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
