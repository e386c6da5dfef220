"""A lightweight KFP component: its source and function, running it here, reading what it left.

Shared by the plugins that run components; each brings its own process. KFP is imported only where
a component runs.
"""

from __future__ import annotations

import json
import math
import re
import shlex
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import ModuleType
from typing import Any

from unified_mlops.errors import LineageError
from unified_mlops.lineage.urn import canonical
from unified_mlops.pipelines import staging
from unified_mlops.records import Artifacts, Edge, TaskRecord, TaskRequest, TaskState

URI_KEY = "unified_mlops.uri"
"""Artifact metadata by which a component says which real thing an artifact stands for."""

MODULE = "ephemeral_component"
"""The name that KFP gives to the module it makes of a component's source."""

LOG = "log.txt"
"""The file in a task's folder that holds all that the task wrote."""

_LONGEST_LOG = 1_000_000
"""Bytes of a log that a record holds, from its end; the file has them all."""

_INSTALL = re.compile(r"pip install(.*?)(?:&&|$)", re.DOTALL)
_WITH_VALUE = frozenset(["--index-url", "--extra-index-url", "--trusted-host", "--find-links"])
_SILENT = frozenset(["--quiet", "--no-warn-script-location"])
_KFP = re.compile(r"kfp\s*(\[|[=<>!~@;]|$)|.*kubeflow/pipelines", re.IGNORECASE)
_RAISED = re.compile(r"([A-Za-z_]\w*\.)*\w*(Error|Exception)\b")


@dataclass(frozen=True, slots=True)
class Component:
    """A lightweight Python component.

    Args:
        source: its module.
        function: the function in it to call.
        requirements: what its start script installs, KFP itself left out; sorted.
        options: where pip takes them from, as pip is told.
    """

    source: str
    function: str
    requirements: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def component(executor: Mapping[str, Any]) -> Component | None:
    """The lightweight Python component of an executor; None where it is of another kind."""
    container = executor.get("container", {})
    command, arguments = container.get("command", []), container.get("args", [])
    light = any("--component_module_path" in part for part in command[:-1])
    if not light or "--function_to_execute" not in arguments:
        return None
    function = arguments[arguments.index("--function_to_execute") + 1]
    return Component(command[-1], function, *_installs("\n".join(command[:-1])))


@lru_cache(maxsize=1024)
def _installs(script: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The requirements of a start script and the options to install them with."""
    requirements, options = set(), []
    for part in _INSTALL.findall(script)[:1]:  # a second one installs KFP, which is here
        split = shlex.split(part)
        if "--no-deps" in split and any(map(_KFP.match, split)):  # or the only one does
            continue
        words = iter(split)
        for word in words:
            if word in _WITH_VALUE:
                options += [word, next(words, "")]
            elif word.startswith("-"):
                options += [word] if word not in _SILENT else []
            elif not _KFP.match(word):
                requirements.add(word)
    return tuple(sorted(requirements)), tuple(options)


@lru_cache(maxsize=1024)  # looking takes longer than a task
def missing(requirements: tuple[str, ...]) -> tuple[str, ...]:
    """Those of a component's requirements that this interpreter does not meet."""
    return tuple(need for need in requirements if not _met(need, ""))


def _met(need: str, extra: str) -> bool:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        requirement = Requirement(need)
    except InvalidRequirement:  # a path, or an address
        return False
    if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
        return True
    if requirement.url:
        return False
    try:
        found = distribution(requirement.name)
    except PackageNotFoundError:
        return False
    return requirement.specifier.contains(found.version, prereleases=True) and all(
        _met(more, each)
        for each in requirement.extras
        for more in found.requires or ()
        if "extra" in more
    )


# --- in the process of the task ---------------------------------------------------------------


def execute(source: str, function: str, executor_input: Mapping[str, Any], folder: Path) -> None:
    """Run a component in this process, as KFP's own entry point does.

    Args:
        source: its module.
        function: the function in it to call.
        executor_input: KFP's `ExecutorInput`.
        folder: where the module is written; tracebacks and `inspect` read it there.

    Raises:
        BaseException: whatever the component raises.
    """
    file = folder / f"{MODULE}.py"
    file.write_text(source, "utf-8")
    given = json.dumps(executor_input)
    sys.argv = [str(file), "--executor_input", given, "--function_to_execute", function]
    module = ModuleType(MODULE)
    module.__file__ = str(file)
    sys.modules[MODULE] = module
    exec(compile(source, file, "exec", dont_inherit=True), module.__dict__)
    called = getattr(module, function)
    staging.executor(json.loads(given), called).execute()


def exit_status(leave: SystemExit) -> int:
    """The status with which an interpreter ends on `sys.exit`, which prints what is no number."""
    if leave.code is None or isinstance(leave.code, int):
        return (leave.code or 0) & 0xFF
    print(leave.code, file=sys.stderr)
    return 1


# --- when it has ended ------------------------------------------------------------------------


def finished(
    task: TaskRequest, log: Path, error: str = "", *, cancelled: bool = False
) -> TaskRecord:
    """The record of a task that has ended.

    Args:
        task: what was run.
        log: the file with what it wrote.
        error: what went wrong; empty for nothing.
        cancelled: whether it was stopped.

    Returns:
        Its state and outputs: FAILED also where what it left cannot be read.
    """
    parameters: Mapping[str, Any] = {}
    artifacts: Artifacts = {}
    if not error and not cancelled:
        try:
            parameters, artifacts = _left(task)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as wrong:
            error = f"what it left cannot be read: {sentence(wrong)}"
    state: TaskState = "CANCELLED" if cancelled else "FAILED" if error else "SUCCEEDED"
    return TaskRecord(
        ref=task.ref,
        name=task.name,
        state=state,
        parameters=parameters,
        artifacts=artifacts,
        edges=edges(task.ref.uri, task.executor_input, artifacts),
        log=tail(log),
        error=error,
    )


def why(status: int, log: str) -> str:
    """What went wrong in a process, in one line, from its exit status and what it wrote.

    Args:
        status: 0 for nothing, negative for a signal.
        log: the end of its log.
    """
    if status <= 0:
        return f"killed by {signal.Signals(-status).name}" if status else ""
    lines = [line for line in reversed(log.split("\n")) if line.strip()]
    raised = (line for line in lines if _RAISED.match(line))  # a message may have more lines
    return next(raised, lines[0] if lines else f"exit status {status}")


def sentence(error: BaseException) -> str:
    """An error in one line."""
    text = next((line for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {text.strip()}"


def tail(log: Path) -> str:
    """The end of a log, at most a megabyte; empty where there is none."""
    try:
        with log.open("rb") as content:
            content.seek(max(0, log.stat().st_size - _LONGEST_LOG))
            return content.read(_LONGEST_LOG).decode(errors="replace")
    except OSError:
        return ""


def outputs(
    executor_input: Mapping[str, Any], written: Mapping[str, Any], longest: float = math.inf
) -> tuple[dict[str, Any], Artifacts]:
    """What a component made: its parameters, and its artifacts with their types.

    Args:
        executor_input: what it was told.
        written: its `executor_output.json`.
        longest: the size in bytes above which a parameter's own file is left out.
    """
    promised = executor_input["outputs"]
    parameters = dict(written.get("parameterValues", {}))
    for name, place in promised.get("parameters", {}).items():
        path = Path(place["outputFile"])
        if name in parameters:
            continue
        if path.is_file() and path.stat().st_size <= longest:  # an OutputPath
            parameters[name] = path.read_text("utf-8")
    artifacts = {}
    for name, promise in promised.get("artifacts", {}).items():
        made = written.get("artifacts", {}).get(name, {}).get("artifacts", [{}])
        artifacts[name] = [{**promise["artifacts"][0], **artifact} for artifact in made]
    return parameters, artifacts


def _left(task: TaskRequest) -> tuple[dict[str, Any], Artifacts]:
    file = Path(task.executor_input["outputs"]["outputFile"])
    written = json.loads(file.read_text("utf-8")) if file.exists() else {}
    parameters, promised = outputs(task.executor_input, written)
    return parameters, {
        name: [_settled(item, task.folder) for item in items] for name, items in promised.items()
    }


def _settled(artifact: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """The artifact, brought from where its component chose to write it to where it belongs."""
    settled = dict(artifact)
    if custom := settled.pop("custom_path", ""):
        source = Path(folder, custom)
        if source.is_dir():
            shutil.copytree(source, artifact["uri"], dirs_exist_ok=True)
        else:
            shutil.copyfile(source, artifact["uri"])
    return settled


# --- lineage ----------------------------------------------------------------------------------


def edges(task: str, executor_input: Mapping[str, Any], made: Artifacts) -> tuple[Edge, ...]:
    """A task's edges, from what it was given and what it made."""
    found = []
    for artifact in inputs(executor_input):
        if uri := location(artifact):
            found.append(Edge(uri, "INPUT", task, "recorded", "kfp.executor_input"))
    for artifact in (item for items in made.values() for item in items):
        if uri := location(artifact):
            found.append(Edge(task, "OUTPUT", uri, "recorded", "kfp.executor_output"))
            found.extend(real(uri, artifact))
    return tuple(found)


def real(uri: str, artifact: Mapping[str, Any]) -> Iterator[Edge]:
    """The edge to the real thing that a component says an artifact stands for."""
    named = artifact.get("metadata", {}).get(URI_KEY)
    if named and (thing := location({"uri": str(named)})):
        yield Edge(uri, "DERIVES", thing, "recorded", URI_KEY)


def inputs(executor_input: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The artifacts that a task was given."""
    for items in executor_input.get("inputs", {}).get("artifacts", {}).values():
        yield from items["artifacts"]


def location(artifact: Mapping[str, Any]) -> str | None:
    """Where an artifact is; None where that cannot be known."""
    try:
        return canonical(artifact["uri"])
    except (KeyError, LineageError):
        return None
