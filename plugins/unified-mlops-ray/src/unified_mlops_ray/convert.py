"""What Ray, KFP's components and models answer -> records and plain values."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unified_mlops.errors import BackendError, LineageError, UnsupportedError
from unified_mlops.lineage.urn import canonical
from unified_mlops.records import Edge, TaskRecord, TaskRequest

URI_KEY = "unified_mlops.uri"
"""Artifact metadata by which a component says which real thing an artifact stands for."""

Artifacts = Mapping[str, Sequence[Mapping[str, Any]]]


def sentence(error: BaseException) -> str:
    """An error in one line."""
    text = next((line for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {text.strip()}"


@contextmanager
def storage(path: Path) -> Iterator[None]:
    """Turn what the file system refuses into our error."""
    try:
        yield
    except OSError as error:
        raise BackendError(
            f"{str(path)!r} cannot be used: {error.strerror or error}",
            hint=f"see to the space and permissions of {path.parent}",
        ) from error


# --- models ---


def answers(values: Any) -> list[Any]:
    """A model's predictions as plain Python values, one for each instance."""
    if hasattr(values, "to_dict") and getattr(values, "ndim", 1) == 2:
        return list(values.to_dict("records"))
    return [plain(value) for value in (values.tolist() if hasattr(values, "tolist") else values)]


def plain(value: Any) -> Any:
    """A value without the types of numpy and pandas."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, str | int | float | bool | None):
        return value
    return plain(value.tolist()) if hasattr(value, "tolist") else value


def to_json(value: Any) -> str:
    """A value as strict JSON: what is not a number becomes null, anything unknown its text."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_foreign)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, default=_foreign)


def _foreign(value: Any) -> Any:
    return plain(value) if hasattr(value, "tolist") else str(value)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if hasattr(value, "tolist"):
        return _finite(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


# --- components ---


def component(task: TaskRequest) -> tuple[str, str]:
    """The source of a lightweight Python component, and the function to call in it.

    Raises:
        UnsupportedError: it is another kind of component.
    """
    container = task.executor.get("container", {})
    command, arguments = container.get("command", []), container.get("args", [])
    light = any("--component_module_path" in part for part in command[:-1])
    if not light or "--function_to_execute" not in arguments:
        raise UnsupportedError(
            f"task {task.name!r} is not a lightweight Python component",
            hint="submit the pipeline to a KFP server",
        )
    return command[-1], arguments[arguments.index("--function_to_execute") + 1]


def finished(task: TaskRequest, error: str, log: Path) -> TaskRecord:
    """The record of a task that has ended, with what it wrote where nothing went wrong."""
    parameters, artifacts = ({}, {}) if error else _outputs(task)
    return TaskRecord(
        ref=task.ref,
        name=task.name,
        state="FAILED" if error else "SUCCEEDED",
        parameters=parameters,
        artifacts=artifacts,
        edges=tuple(_edges(task, artifacts)),
        log=log.read_text("utf-8", errors="replace") if log.exists() else "",
        error=error,
    )


def _outputs(task: TaskRequest) -> tuple[dict[str, Any], Artifacts]:
    promised = task.executor_input["outputs"]
    file = Path(promised["outputFile"])
    written = json.loads(file.read_text("utf-8")) if file.exists() else {}
    parameters = dict(written.get("parameterValues", {}))
    for name, place in promised.get("parameters", {}).items():
        path = Path(place["outputFile"])
        if name not in parameters and path.is_file():  # an OutputPath
            parameters[name] = path.read_text("utf-8")
    artifacts = {}
    for name, promise in promised.get("artifacts", {}).items():
        made = written.get("artifacts", {}).get(name, {}).get("artifacts", [{}])
        whole = ({**promise["artifacts"][0], **artifact} for artifact in made)
        artifacts[name] = [_settled(artifact, task.folder) for artifact in whole]
    return parameters, artifacts


def _settled(artifact: dict[str, Any], folder: str) -> dict[str, Any]:
    """The artifact, brought from where its component chose to write it to where it belongs."""
    if custom := artifact.pop("custom_path", ""):
        source = Path(folder, custom)
        if source.is_dir():
            shutil.copytree(source, artifact["uri"], dirs_exist_ok=True)
        else:
            shutil.copyfile(source, artifact["uri"])
    return artifact


def _edges(task: TaskRequest, made: Artifacts) -> Iterator[Edge]:
    for items in task.executor_input["inputs"].get("artifacts", {}).values():
        for artifact in items["artifacts"]:
            if uri := _location(artifact):
                yield Edge(uri, "INPUT", task.ref.uri, "recorded", "kfp.executor_input")
    for artifact in (item for items in made.values() for item in items):
        if uri := _location(artifact):
            yield Edge(task.ref.uri, "OUTPUT", uri, "recorded", "kfp.executor_output")
            if real := artifact.get("metadata", {}).get(URI_KEY):
                yield Edge(uri, "DERIVES", str(real), "recorded", URI_KEY)


def _location(artifact: Mapping[str, Any]) -> str | None:
    """Where an artifact is; None where that cannot be known."""
    try:
        return canonical(artifact["uri"])
    except (KeyError, LineageError):
        return None
