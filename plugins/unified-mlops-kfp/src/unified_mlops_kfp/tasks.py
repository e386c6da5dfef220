"""Tasks on this machine: each in a process forked for it, in an environment that has its packages.

Everything that a task starts goes through a fork server, also the building of its environment and
the command of a container, so that one way to stop it stops them all.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from unified_mlops.errors import ConfigError, UnsupportedError
from unified_mlops.pipelines import staging
from unified_mlops.pipelines.component import (
    LOG,
    Component,
    component,
    finished,
    missing,
    sentence,
    tail,
    why,
)
from unified_mlops.records import TaskRecord, TaskRequest
from unified_mlops_kfp import containers, debug
from unified_mlops_kfp.environments import UnbuiltError, environment, python, said
from unified_mlops_kfp.launcher import Launcher, Stop

_MODES, _RUNNERS = ("process", "inprocess"), ("", "docker", "host")
_NO_DOCKER = (
    "a container component needs Docker, and no daemon answers here; start it, or set "
    'container_runner = "host" below [plugins.kfp] to run its command on this machine'
)
_NO_COMMAND = (
    "what {!r} runs stands in the image; set its command, "
    'or container_runner = "docker" below [plugins.kfp]'
)
_LACKS = (
    'not installed here, where mode = "inprocess" runs it: {}; '
    "install it, or take that setting out of [plugins.kfp]"
)


class Tasks:
    """Runs tasks, any number at once.

    Args:
        root: where pipelines leave their files.
        environments: where environments are built.
        preload: modules that the fork server imports before it forks.
        mode: "process", or "inprocess" to run components in this process, one at a time.
        container_runner: "docker", "host", or empty for Docker if a daemon answers.

    Raises:
        ConfigError: an unknown mode or container runner.
    """

    def __init__(
        self,
        root: Path,
        environments: Path,
        preload: Sequence[str],
        mode: str,
        container_runner: str,
    ) -> None:
        for name, value, known in (
            ("mode", mode, _MODES),
            ("container_runner", container_runner, _RUNNERS),
        ):
            if value not in known:
                raise ConfigError(
                    f"{name} in [plugins.kfp] is {value!r}",
                    hint=f"one of: {', '.join(map(repr, known))}",
                )
        self._root, self._environments = root, environments
        self._here, self._runner = mode == "inprocess", container_runner
        self._answered = False
        self._launcher = Launcher(preload)
        self._launchers: dict[Path, Launcher] = {}
        self._lock = threading.Lock()
        self._running: dict[tuple[str, str], Stop] = {}

    def run(self, task: TaskRequest) -> TaskRecord:
        """Run one try of a task and wait for it.

        Raises:
            UnsupportedError: this kind of executor cannot be run here.
            BackendError: the fork server is gone.
        """
        if problem := self.check(task.executor):
            fact, _, hint = problem.rpartition("; ")
            raise UnsupportedError(f"task {task.name!r} cannot be run: {fact}", hint=hint)
        key, log, stop = _key(task), Path(task.folder, LOG), Stop()
        self._running[key] = stop
        try:
            error = staging.around(task.executor_input, partial(self._try, task, stop))
        except UnbuiltError:
            error = f"its packages cannot be installed: {said(tail(log))}"
        except OSError as wrong:
            error = sentence(wrong)
        finally:
            del self._running[key]
        return finished(task, log, "" if stop.asked else error, cancelled=stop.asked)

    def cancel(self, task: TaskRequest) -> bool:
        """Stop a try of a task with all that it started; whether it was running."""
        if stop := self._running.get(_key(task)):
            stop.ask()
        return stop is not None

    def check(self, executor: Mapping[str, Any]) -> str:
        """Why an executor cannot be run here, and what to do about it; empty where it can."""
        if found := component(executor):
            lacks = missing(found.requirements) if self._here else ()
            return _LACKS.format(", ".join(lacks)) if lacks else ""
        container = executor.get("container", {})
        if "image" not in container:
            kind = ", ".join(executor) or "empty"
            return f"an executor of the kind {kind!r} is no component; submit it to a KFP server"
        if self._runner == "host":
            return "" if container.get("command") else _NO_COMMAND.format(container["image"])
        return "" if self._docker() else _NO_DOCKER

    def _docker(self) -> bool:
        self._answered = self._answered or containers.docker_answers()
        return self._answered

    def _try(self, task: TaskRequest, stop: Stop) -> str:
        """Run it, its artifacts being files here; what went wrong, empty for nothing."""
        found = component(task.executor)
        status = self._component(task, found, stop) if found else self._container(task, stop)
        return why(status, tail(Path(task.folder, LOG))) if status else ""

    def _component(self, task: TaskRequest, found: Component, stop: Stop) -> int:
        variables = {"_KFP_RUNTIME": "true", **task.environment}
        if self._here:
            folder = Path(task.folder)
            return debug.run(found, task.executor_input, variables, folder, folder / LOG)
        launcher = self._launcher
        if missing(found.requirements):
            run = partial(self._execute, task, stop)
            folder = environment(self._environments, found, run, stop)
            variables["PATH"] = f"{folder / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
            launcher = self._launcher_in(folder)
        request = _process(task, variables)
        request["source"], request["function"] = found.source, found.function
        request["executor_input"] = task.executor_input
        return launcher.run(request, stop)

    def _launcher_in(self, folder: Path) -> Launcher:
        with self._lock:
            return self._launchers.setdefault(folder, Launcher(python=python(folder)))

    def _container(self, task: TaskRequest, stop: Stop) -> int:
        containers.make_room(task)
        if self._runner == "host":
            return self._execute(task, stop, containers.command(task))
        name = containers.container_name(task)
        try:
            return self._execute(task, stop, containers.docker(task, name, self._root))
        finally:  # the client may be gone and the container not
            containers.remove(name)

    def _execute(self, task: TaskRequest, stop: Stop, command: Sequence[str]) -> int:
        """Run a command in the place of a task's component."""
        request = _process(task, task.environment)
        return self._launcher.run({**request, "command": list(command)}, stop)


def _key(task: TaskRequest) -> tuple[str, str]:
    return task.ref.uri, task.folder


def _process(task: TaskRequest, variables: Mapping[str, str]) -> dict[str, Any]:
    """What a process of a task is told in any case."""
    return {
        "environment": {**os.environ, **variables},
        "folder": task.folder,
        "log": str(Path(task.folder, LOG)),
    }
