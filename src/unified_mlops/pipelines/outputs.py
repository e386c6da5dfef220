"""What comes back from a task, a graph of tasks, or the iterations of a loop."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from unified_mlops.pipelines.inputs import Values
from unified_mlops.pipelines.spec import Component
from unified_mlops.pipelines.values import bind, mismatch
from unified_mlops.records import TaskRecord


def select(component: Component, records: Mapping[str, TaskRecord]) -> Values:
    """What a graph gives out: of several sources, the first that has a value."""
    parameters: dict[str, Any] = {}
    artifacts: dict[str, Sequence[Mapping[str, Any]]] = {}
    for name, sources in component.selected.items():
        for source in sources:
            record = records[source.task]
            if name in component.results and source.name in record.parameters:
                parameters.setdefault(name, record.parameters[source.name])
            if name in component.products and source.name in record.artifacts:
                artifacts.setdefault(name, record.artifacts[source.name])
    return Values(parameters, artifacts)


def gather(component: Component, iterations: Sequence[TaskRecord]) -> Values:
    """What a loop gives out: parameters as a list of what each iteration gave, artifacts in one.

    What an iteration did not give, because a branch in it did not run, is left out.
    """
    parameters = {
        name: [item.parameters[name] for item in iterations if name in item.parameters]
        for name in component.results
    }
    artifacts = {
        name: [one for item in iterations for one in item.artifacts.get(name, ())]
        for name in component.products
    }
    return Values(parameters, artifacts)


def returned(values: Mapping[str, Any], component: Component) -> dict[str, Any]:
    """A component's output parameters as their types say; what it wrote to a file is text.

    Raises:
        ArgumentTypeError: a value of another type.
    """
    return {name: _typed(value, component.results[name], name) for name, value in values.items()}


def _typed(value: Any, kind: str, name: str) -> Any:
    if not isinstance(value, str) or kind == "STRING":
        return bind(value, kind, name)
    try:
        value = json.loads(value.lower() if kind == "BOOLEAN" else value)
    except ValueError as error:
        raise mismatch(name, value, kind) from error
    return bind(value, kind, name)
