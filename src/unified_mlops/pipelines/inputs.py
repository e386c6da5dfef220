"""What a task receives: values bound to its component's inputs, and the items of a loop."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from unified_mlops.errors import PipelineError
from unified_mlops.pipelines.spec import Component, Constant, Input, Output, Source, Status, Task
from unified_mlops.pipelines.values import bind, fill, input_of
from unified_mlops.records import Artifacts, TaskRecord

Lookup = Callable[[str], Any]
"""Gives the value of a placeholder for the job or the task."""


@dataclass(frozen=True, slots=True)
class Values:
    """What flows between tasks."""

    parameters: Mapping[str, Any] = field(default_factory=dict)
    artifacts: Artifacts = field(default_factory=dict)


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
    found = {name: _find(item, before, outer, job) for name, item in task.parameters.items()}
    lookup = with_inputs(found, job)
    products = {name: record.artifacts for name, record in before.items()}
    artifacts = {
        name: value
        for name, source in task.artifacts.items()
        if (value := _made(source, outer.artifacts, products)) is not None
    }
    values = Values(_bound(task, found, lookup), artifacts)
    _check_complete(task, {*values.parameters, *artifacts})
    return values


def with_inputs(inputs: Mapping[str, Any], job: Lookup) -> Lookup:
    """A lookup that knows a task's inputs too."""

    def lookup(placeholder: str) -> Any:
        name = input_of(placeholder)
        return job(placeholder) if name is None else inputs.get(name)

    return lookup


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


def iterations(task: Task, inputs: Values, job: Lookup) -> list[Values]:
    """What each iteration of a loop receives.

    Raises:
        PipelineError: what it is to run over is no list.
    """
    loop = task.loop
    assert loop is not None
    if loop.artifacts:
        assert isinstance(loop.items, Input)
        each = inputs.artifacts.get(loop.items.name, ())
        return [Values(inputs.parameters, {**inputs.artifacts, loop.item: [item]}) for item in each]
    if isinstance(loop.items, Constant):
        items = fill(loop.items.value, with_inputs(inputs.parameters, job))
    else:
        items = inputs.parameters.get(loop.items.name)
    kind = task.component.parameters[loop.item].type
    return [
        Values({**inputs.parameters, loop.item: bind(item, kind, loop.item)}, inputs.artifacts)
        for item in _listed(items, task)
    ]


def _listed(items: Any, task: Task) -> list[Any]:
    """The items of a loop; text is JSON."""
    if isinstance(items, str):
        try:
            items = json.loads(items)
        except ValueError as error:
            raise PipelineError(f"loop {task.path!r} has items that are no JSON") from error
    if isinstance(items, Mapping):
        return [{"key": key, "value": value} for key, value in items.items()]
    if not isinstance(items, list):
        raise PipelineError(
            f"loop {task.path!r} is to run over {items!r}, which is no list",
            hint="give dsl.ParallelFor a list",
        )
    return items


def _bound(task: Task, found: dict[str, Any], lookup: Lookup) -> dict[str, Any]:
    """The parameters as their types say, with constants and, for a graph, defaults."""
    wanted = task.component.parameters
    for name, source in task.parameters.items():
        if isinstance(source, Constant):
            found[name] = fill(source.value, lookup)
    parameters = {
        name: bind(value, wanted[name].type, name) if name in wanted else value
        for name, value in found.items()
        if value is not None
    }
    if task.component.executor is not None:  # its function has its own defaults
        return parameters
    return with_defaults(task.component, parameters, lookup)


def _find(source: Source, before: Mapping[str, TaskRecord], outer: Values, job: Lookup) -> Any:
    if isinstance(source, Status):
        return _status(before[source.task], source.task, job)
    made = {name: record.parameters for name, record in before.items()}
    value = _made(source, outer.parameters, made)
    key = None if isinstance(source, Constant) else source.key
    return value if key is None or value is None else _part(value, key)


def _made(
    source: Source, outer: Mapping[str, Any], made: Mapping[str, Mapping[str, Any]]
) -> Any | None:
    """The value that a source stands for; None where there is none."""
    if isinstance(source, Input):
        return outer.get(source.name)
    if isinstance(source, Output):
        return made[source.task].get(source.name)
    return None


def _part(value: Any, key: str) -> Any:
    """What a dict, perhaps written as JSON, has under a key."""
    try:
        return (json.loads(value) if isinstance(value, str) else value)[key]
    except (KeyError, TypeError, ValueError) as error:
        raise PipelineError(f"there is no {key!r} in {value!r}") from error


def _status(record: TaskRecord, name: str, job: Lookup) -> dict[str, Any]:
    """How a task ended, as KFP's `PipelineTaskFinalStatus` has it."""
    state = {"SKIPPED": "SUCCEEDED", "NOT_TRIGGERED": "CANCELLED"}.get(record.state, record.state)
    status: dict[str, Any] = {
        "state": state,
        "pipelineJobResourceName": job("pipeline_job_resource_name"),
        "pipelineTaskName": name,
    }
    if record.state == "FAILED":
        status["error"] = {"code": 9, "message": record.error}  # FAILED_PRECONDITION, as in KFP
    return status


def _check_complete(task: Task, there: Iterable[str]) -> None:
    item = task.loop.item if task.loop else ""
    required = [name for name, item in task.component.parameters.items() if not item.optional]
    required += [name for name, optional in task.component.artifacts.items() if not optional]
    for name in required:
        if name not in there and name != item:
            raise PipelineError(f"nothing came in for the input {name!r} of task {task.path!r}")
