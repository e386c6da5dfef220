"""Container components: what their executor says, as a command of Docker or of this machine."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from unified_mlops.records import TaskRequest

_PROBE = 10.0
"""Seconds in which a Docker daemon has to answer."""


def command(task: TaskRequest) -> list[str]:
    """The command of a container component, its arguments behind it."""
    container = task.executor["container"]
    return [*container.get("command", ()), *container.get("args", ())]


def make_room(task: TaskRequest) -> None:
    """Make the folders that a container's outputs go to: a command expects them to be there.

    Raises:
        OSError: they cannot be made.
    """
    outputs = task.executor_input["outputs"]
    files = [place["outputFile"] for place in outputs.get("parameters", {}).values()]
    files += [outputs["outputFile"], *_places(outputs)]
    for file in filter(None, files):
        Path(file).parent.mkdir(parents=True, exist_ok=True)


def docker_answers() -> bool:
    """Whether there is a Docker daemon here."""
    if not shutil.which("docker"):
        return False
    ask = ["docker", "version", "--format", "{{.Server.Version}}"]
    with contextlib.suppress(subprocess.TimeoutExpired, OSError):
        return subprocess.run(ask, capture_output=True, timeout=_PROBE, check=False).returncode == 0
    return False


def docker(task: TaskRequest, name: str, root: Path) -> list[str]:
    """The command line that runs a task in Docker.

    Args:
        task: what to run; its values of variables are not in the command line.
        name: the container's.
        root: the folder of the pipelines' files, at the same place inside.
    """
    container = task.executor["container"]
    entry = container.get("command") or []
    words = command(task)
    line = ["docker", "run", "--rm", "--init", "--name", name, "--workdir", task.folder]
    for place, mode in _mounts(task, root).items():
        line += ["--volume", f"{place}:{place}{mode}"]
    for variable in task.environment:
        line += ["--env", variable]
    line += _limits(task.resources)
    if entry:  # as Kubernetes does: a command takes the place of the image's own
        line += ["--entrypoint", words[0]]
    return [*line, str(container["image"]), *(words[1:] if entry else words)]


def container_name(task: TaskRequest) -> str:
    """A name for the container of one try of a task."""
    return re.sub(r"[^a-zA-Z0-9_.-]+", "-", f"umlops-{task.ref.id}-{Path(task.folder).name}")


def remove(name: str) -> None:
    """Remove a container with all that runs in it; nothing where it is gone."""
    with contextlib.suppress(subprocess.TimeoutExpired, OSError):
        line = ["docker", "rm", "--force", name]
        subprocess.run(line, capture_output=True, timeout=_PROBE, check=False)


def _mounts(task: TaskRequest, root: Path) -> dict[str, str]:
    """The places that a task sees: the pipelines' files, and inputs from elsewhere, to read."""
    found = {str(root): ""}
    if not Path(task.folder).is_relative_to(root):
        found[task.folder] = ""
    for place in _places(task.executor_input["outputs"]):
        if not any(Path(place).is_relative_to(there) for there in found):
            found[str(Path(place).parent)] = ""
    for place in _places(task.executor_input.get("inputs", {})):
        if not any(Path(place).is_relative_to(there) for there in found):
            found[place] = ":ro"
    return found


def _limits(resources: Mapping[str, float]) -> Iterator[str]:
    """A task's resources as Docker names them."""
    if cpus := resources.get("cpus"):
        yield f"--cpus={cpus:g}"
    if memory := resources.get("memory_bytes"):
        yield f"--memory={memory:.0f}b"
    if gpus := resources.get("gpus"):
        yield f"--gpus={gpus:.0f}"


def _places(side: Mapping[str, Any]) -> Iterator[str]:
    """The local paths of the artifacts of one side of an executor input."""
    for held in side.get("artifacts", {}).values():
        for artifact in held["artifacts"]:
            uri = str(artifact.get("uri", "")).removeprefix("file://")
            if uri.startswith("/"):
                yield uri
