"""What a task receives, and what comes back, in KFP's executor form."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unified_mlops.errors import PipelineError
from unified_mlops.pipelines.spec import Component, Constant, Input, Output, Source, Task
from unified_mlops.pipelines.values import bind, fill, input_of, mismatch
from unified_mlops.records import TaskRecord

Artifacts = Sequence[Mapping[str, Any]]
Lookup = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Values:
    """What flows between tasks."""

    parameters: Mapping[str, Any] = field(default_factory=dict)
    artifacts: Mapping[str, Artifacts] = field(default_factory=dict)


def receive(task: Task, before: Mapping[str, TaskRecord], outer: Values, job: Lookup) -> Values:
    """What a task receives, each value as the component's input type takes it.

    Args:
        task: the task.
        before: the records of the tasks that go before it.
        outer: the inputs of the component that it stands in.
        job: gives the value of a placeholder that is no input.

    Raises:
        PipelineError: a required input has no value.
        ArgumentTypeError: a value has the wrong type.
    """
    made = {name: record.parameters for name, record in before.items()}
    raw = {name: _find(source, outer.parameters, made) for name, source in task.parameters.items()}

    def lookup(placeholder: str) -> Any:
        name = input_of(placeholder)
        return job(placeholder) if name is None else raw.get(name)

    products = {name: record.artifacts for name, record in before.items()}
    found = ((n, _find(item, outer.artifacts, products)) for n, item in task.artifacts.items())
    artifacts = {name: value for name, value in found if value is not None}
    values = Values(_bound(task, raw, lookup), artifacts)
    _check_complete(task, {*values.parameters, *artifacts})
    return values


def _bound(task: Task, raw: dict[str, Any], lookup: Lookup) -> dict[str, Any]:
    """The parameters as their types say, with constants and, for a graph, defaults."""
    wanted = task.component.parameters
    for name, source in task.parameters.items():
        if isinstance(source, Constant):
            raw[name] = fill(source.value, lookup)
    parameters = {
        name: bind(value, wanted[name].type, name) if name in wanted else value
        for name, value in raw.items()
        if value is not None
    }
    if task.component.executor is not None:  # its function has its own defaults
        return parameters
    return with_defaults(task.component, parameters, lookup)


def with_defaults(
    component: Component, values: Mapping[str, Any], lookup: Lookup
) -> dict[str, Any]:
    """The values, and the component's defaults for what has none."""
    defaults = {
        name: bind(fill(parameter.default, lookup), parameter.type, name)
        for name, parameter in component.parameters.items()
        if name not in values and parameter.default is not None
    }
    return defaults | dict(values)


def select(component: Component, records: Mapping[str, TaskRecord]) -> Values:
    """What a graph gives out: of several sources, the first that has a value."""
    parameters: dict[str, Any] = {}
    artifacts: dict[str, Artifacts] = {}
    for name, sources in component.selected.items():
        for source in sources:
            record = records[source.task]
            if source.key in record.parameters:
                parameters.setdefault(name, record.parameters[source.key])
            if source.key in record.artifacts:
                artifacts.setdefault(name, record.artifacts[source.key])
    return Values(parameters, artifacts)


def executor_input(component: Component, inputs: Values, folder: Path) -> dict[str, Any]:
    """KFP's `ExecutorInput`, without the values that only placeholders needed."""
    taken, given = component.parameters, inputs.parameters
    return {
        "inputs": {
            "parameterValues": {name: given[name] for name in taken if name in given},
            "artifacts": {
                name: {"artifacts": list(value)}
                for name, value in inputs.artifacts.items()
                if name in component.artifacts
            },
        },
        "outputs": {
            "parameters": {name: {"outputFile": str(folder / name)} for name in component.results},
            "artifacts": {
                name: {"artifacts": [_product(name, kind, folder)]}
                for name, kind in component.products.items()
            },
            "outputFile": str(folder / "executor_output.json"),
        },
    }


def returned(value: Any, kind: str, name: str) -> Any:
    """An output as its type says; one that was written to a file comes as text."""
    if not isinstance(value, str) or kind == "STRING":
        return bind(value, kind, name)
    try:
        value = json.loads(value.lower() if kind == "BOOLEAN" else value)
    except ValueError as error:
        raise mismatch(name, value, kind) from error
    return bind(value, kind, name)


def resources(raw: Mapping[str, Any]) -> dict[str, float]:
    """KFP's limits as `cpus`, `memory_bytes` and `gpus`."""
    found = {
        "cpus": raw.get("cpuLimit"),
        "memory_bytes": raw.get("memoryLimit", 0) * 1e9,
        "gpus": raw.get("accelerator", {}).get("count"),
    }
    return {name: float(value) for name, value in found.items() if value}


def _product(name: str, kind: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    return {"name": name, "type": kind, "uri": str(folder / name), "metadata": {}}


def _find(
    source: Source, outer: Mapping[str, Any], made: Mapping[str, Mapping[str, Any]]
) -> Any | None:
    """The value that a source stands for; None where there is none."""
    if isinstance(source, Input):
        return outer.get(source.name)
    if isinstance(source, Output):
        return made[source.task].get(source.key)
    return None


def _check_complete(task: Task, there: Iterable[str]) -> None:
    required = [name for name, item in task.component.parameters.items() if not item.optional]
    required += [name for name, optional in task.component.artifacts.items() if not optional]
    for name in required:
        if name not in there:
            raise PipelineError(f"nothing came in for the input {name!r} of task {task.path!r}")
