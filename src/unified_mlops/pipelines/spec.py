"""A compiled KFP pipeline as frozen dataclasses. `reader.read` makes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from unified_mlops.errors import ArgumentError, UnsupportedError
from unified_mlops.pipelines.condition import Condition
from unified_mlops.pipelines.values import fits, mismatch, whole


@dataclass(frozen=True, slots=True)
class Constant:
    """A value in the file, perhaps with placeholders in it."""

    value: Any


@dataclass(frozen=True, slots=True)
class Input:
    """An input of the component that a task stands in; of a dict perhaps only what has a key."""

    name: str
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Output:
    """An output of another task of the same component; of a dict perhaps only what has a key."""

    task: str
    name: str
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """How another task of the same component ended."""

    task: str


Source = Constant | Input | Output | Status


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter that a component takes."""

    type: str
    optional: bool
    default: Any


@dataclass(frozen=True, slots=True)
class Loop:
    """A component is run once for each item.

    Args:
        items: a list, or the task's input that holds one.
        item: the component's input that each item goes to.
        artifacts: whether the items are artifacts.
        limit: how many run at once; 0 for as many as the machine takes.
    """

    items: Constant | Input
    item: str
    artifacts: bool = False
    limit: int = 0


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a task is tried again, and how long to wait before each try, in seconds."""

    times: int = 0
    wait: float = 0.0
    factor: float = 2.0
    longest: float = 3600.0

    def delay(self, tries: int) -> float:
        """The wait after so many tries."""
        return min(self.longest, self.wait * self.factor ** (tries - 1))


@dataclass(frozen=True, slots=True)
class Secret:
    """A variable whose value is a secret: its name, and the secret's name and key."""

    variable: str
    name: str
    key: str


@dataclass(frozen=True, slots=True)
class Component:
    """A component: a container or an importer (`executor`), or tasks and what of theirs it gives.

    Args:
        parameters: its input parameters.
        artifacts: its input artifacts, and whether each is optional.
        results: the type of each output parameter.
        products: the artifact type of each output artifact.
        executor: KFP's executor, where it is not a graph.
        secrets: the secrets that its process finds in its environment.
        tasks: its tasks, where it is a graph.
        selected: the task outputs that each output comes from: the first of them that ran.
    """

    parameters: Mapping[str, Parameter]
    artifacts: Mapping[str, bool]
    results: Mapping[str, str]
    products: Mapping[str, Mapping[str, Any]]
    executor: Mapping[str, Any] | None
    secrets: tuple[Secret, ...]
    tasks: Mapping[str, Task]
    selected: Mapping[str, tuple[Output, ...]]

    @property
    def importer(self) -> Mapping[str, Any] | None:
        """What an importer brings in; None where the component is something else."""
        return (self.executor or {}).get("importer")


@dataclass(frozen=True, slots=True)
class Task:
    """A component with its inputs bound.

    Args:
        path: its name below the names of the groups it stands in, with dots between.
        component: what it runs.
        parameters: where its input parameters come from.
        artifacts: where its input artifacts come from.
        after: the tasks that go before it.
        condition: whether it runs.
        always: whether it also runs where a task before it failed.
        loop: what it is run for, where it is a loop.
        retry: how often it is tried again.
        cached: whether its outputs may come from an earlier run.
        cache_key: the key that the user chose for the cache.
    """

    path: str
    component: Component
    parameters: Mapping[str, Source]
    artifacts: Mapping[str, Source]
    after: frozenset[str]
    condition: Condition | None = None
    always: bool = False
    loop: Loop | None = None
    retry: Retry = Retry()
    cached: bool = True
    cache_key: str = ""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A pipeline.

    Args:
        name: its name.
        root: its tasks.
        workspace: whether its tasks share a folder.
        names: a name for each task by its path, unique in the pipeline.
    """

    name: str
    root: Component
    workspace: bool
    names: Mapping[str, str] = field(repr=False)

    def bind(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The given parameters, checked, with whole numbers as integers.

        Raises:
            ArgumentError: an unknown or a missing parameter; names the valid ones.
            ArgumentTypeError: a value of the wrong type.
        """
        known = self.root.parameters
        given = {name: whole(value) for name, value in parameters.items() if value is not None}
        required = [name for name, parameter in known.items() if not parameter.optional]
        self._check("parameter", given, known, required)
        for name, value in given.items():
            if not fits(value, known[name].type):
                raise mismatch(name, value, known[name].type)
        return given

    def bind_artifacts(self, artifacts: Mapping[str, Any]) -> dict[str, Any]:
        """The given input artifacts, checked.

        Raises:
            ArgumentError: an unknown or a missing artifact; names the valid ones.
        """
        known = self.root.artifacts
        required = [name for name, optional in known.items() if not optional]
        self._check("input artifact", artifacts, known, required)
        return dict(artifacts)

    def _check(
        self, what: str, given: Mapping[str, Any], known: Mapping[str, Any], required: list[str]
    ) -> None:
        takes = f"{self.name!r} takes: {', '.join(known) or f'no {what}s'}"
        for name in given:
            if name not in known:
                raise ArgumentError(f"unknown pipeline {what} {name!r}", hint=takes)
        for name in required:
            if name not in given:
                raise ArgumentError(f"pipeline {what} {name!r} is missing", hint=takes)

    @property
    def leaves(self) -> tuple[Task, ...]:
        """The tasks that run a component of their own, in the file's order."""
        return tuple(task for task in walk(self.root) if task.component.executor is not None)


def walk(component: Component) -> Iterator[Task]:
    """Every task below a component, outer ones first."""
    for task in component.tasks.values():
        yield task
        yield from walk(task.component)


def unsupported(what: str, instead: str = 'PipelineJob(..., runner="kfp")') -> UnsupportedError:
    """The error for a construct that is not run here."""
    return UnsupportedError(f"{what} cannot be run on this machine", hint=instead)
