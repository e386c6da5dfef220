"""KFP's forms -> records, and what is wrong with them -> our errors."""

from __future__ import annotations

import hashlib
import json
import math
import re
import shlex
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from unified_mlops.errors import ArgumentError, LineageError, UnsupportedError
from unified_mlops.lineage.urn import canonical
from unified_mlops.records import Edge, PipelineRecord, Ref, TaskRecord, TaskRequest, TaskState

URI_KEY = "unified_mlops.uri"
"""Artifact metadata by which a component says which real thing an artifact stands for."""

_LOG = 1_000_000
"""Bytes of a log that a record holds, from its end; the file has them all."""
_INSTALL = re.compile(r"pip install(.*?)(?:&&|$)", re.DOTALL)
_OPTIONS_WITH_VALUE = ("--index-url", "--extra-index-url", "--trusted-host")

Artifacts = Mapping[str, Sequence[Mapping[str, Any]]]


def pipeline(spec: Mapping[str, Any]) -> PipelineRecord:
    """The record of a compiled pipeline.

    Raises:
        ArgumentError: it is none.
    """
    try:
        name = str(spec["pipelineInfo"]["name"])
        spec["root"], spec["schemaVersion"]
    except (KeyError, TypeError) as error:
        raise ArgumentError(
            f"this is no compiled pipeline: it has no {error}",
            hint="compile it with kfp.compiler.Compiler().compile(pipeline, path)",
        ) from error
    text = json.dumps(_whole(spec), sort_keys=True, separators=(",", ":"))
    key = f"{name}@{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    return PipelineRecord(
        ref=Ref("kfp", "pipeline", key, f"kfp:pipeline/{key}"), name=name, spec=spec
    )


def _whole(value: Any) -> Any:
    """The value as KFP's protobuf holds it, which knows no difference between 1 and 1.0."""
    if isinstance(value, Mapping):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def component(task: TaskRequest) -> tuple[str, str]:
    """The source of a lightweight Python component, and the function to call in it.

    Raises:
        UnsupportedError: it is another kind of component, or needs packages that are not here.
    """
    container = task.executor.get("container", {})
    command, arguments = container.get("command", []), container.get("args", [])
    light = any("--component_module_path" in part for part in command[:-1])
    if not light or "--function_to_execute" not in arguments:
        raise UnsupportedError(
            f"task {task.name!r} is not a lightweight Python component",
            hint="submit the pipeline to a KFP server",
        )
    missing = [need for part in command[:-1] for need in _missing(part)]
    if missing:
        raise UnsupportedError(
            f"task {task.name!r} needs packages that are not installed here: {', '.join(missing)}",
            hint=f"pip install {shlex.join(missing)}",
        )
    return command[-1], arguments[arguments.index("--function_to_execute") + 1]


@lru_cache(maxsize=1024)
def _missing(script: str) -> tuple[str, ...]:
    """The requirements that a component's start script would install and that are not met."""
    found = dict.fromkeys(need for part in _INSTALL.findall(script) for need in _needs(part))
    return tuple(need for need in found if not _met(need))


def _needs(options: str) -> Iterator[str]:
    words = iter(shlex.split(options))
    for word in words:
        if word in _OPTIONS_WITH_VALUE:
            next(words, None)
        elif not word.startswith("-"):
            yield word


def _met(need: str) -> bool:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        requirement = Requirement(need)
        if requirement.marker and not requirement.marker.evaluate():
            return True
        if requirement.name == "kfp":  # ours runs the component, whichever one compiled it
            return True
        return requirement.specifier.contains(version(requirement.name), prereleases=True)
    except (InvalidRequirement, PackageNotFoundError):
        return False


def finished(task: TaskRequest, status: int, file: Path) -> TaskRecord:
    """The record of a task whose process has ended, and wrote this log."""
    log = _tail(file)
    state: TaskState = "FAILED" if status else "SUCCEEDED"
    parameters: Mapping[str, Any] = {}
    artifacts: Artifacts = {}
    if status == 0:
        made = Path(task.executor_input["outputs"]["outputFile"])
        written = json.loads(made.read_text()) if made.exists() else {}
        parameters, promised = outputs(task.executor_input, written)
        artifacts = {
            name: [_settled(item, task.folder) for item in items]
            for name, items in promised.items()
        }
    return TaskRecord(
        ref=task.ref,
        name=task.name,
        state=state,
        parameters=parameters,
        artifacts=artifacts,
        edges=edges(task.ref.uri, task.executor_input, artifacts),
        log=log,
        error=_error(status, log) if status else "",
    )


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
            parameters[name] = path.read_text()
    artifacts = {}
    for name, promise in promised.get("artifacts", {}).items():
        made = written.get("artifacts", {}).get(name, {}).get("artifacts", [{}])
        artifacts[name] = [{**promise["artifacts"][0], **artifact} for artifact in made]
    return parameters, artifacts


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


_RAISED = re.compile(r"([A-Za-z_]\w*\.)*\w*(Error|Exception)\b")


def _error(status: int, log: str) -> str:
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    lines = [line for line in reversed(log.split("\n")) if line.strip()]
    raised = (line for line in lines if _RAISED.match(line))  # a message may have more lines
    return next(raised, lines[0] if lines else f"exit status {status}")


def _tail(file: Path) -> str:
    if not file.exists():
        return ""
    with file.open("rb") as content:
        content.seek(max(0, file.stat().st_size - _LOG))
        return content.read().decode(errors="replace")
