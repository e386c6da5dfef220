"""Pipeline tasks: a lightweight KFP component in a Ray worker of its own."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from unified_mlops.errors import UnsupportedError
from unified_mlops.pipelines import staging
from unified_mlops.pipelines.component import (
    LOG,
    Component,
    component,
    execute,
    exit_status,
    finished,
    sentence,
    tail,
)
from unified_mlops.records import TaskRecord, TaskRequest
from unified_mlops_ray import capture, packages
from unified_mlops_ray.connect import attached
from unified_mlops_ray.tuning import search_path

_LIGHT = "Ray runs lightweight Python components and nothing else"
_ELSEWHERE = 'runner="embedded", for containers with container_runner below [plugins.kfp]; or "kfp"'
_SHARED = "give a pipeline_root that every machine of the cluster sees, such as s3://bucket/folder"
_RESOURCES = {
    "cpus": ("num_cpus", "CPU"),
    "gpus": ("num_gpus", "GPU"),
    "memory_bytes": ("memory", "memory"),
}

Outcome = tuple[str, Mapping[str, str]]
"""What went wrong, empty for nothing; and the small files that the task left, with their text."""


class Tasks:
    """Runs tasks on a cluster, any number at once.

    Args:
        address: the cluster.
    """

    def __init__(self, address: str | None) -> None:
        self._address = address
        self._running: dict[tuple[str, str], _Try] = {}

    def run(self, task: TaskRequest) -> TaskRecord:
        """Run one try of a task and wait for it.

        Raises:
            UnsupportedError: it is no lightweight Python component, is larger than any machine, or
                its artifacts are in the memory of this process.
        """
        found = component(task.executor)
        if found is None:
            raise UnsupportedError(f"task {task.name!r} cannot be run: {_LIGHT}", hint=_ELSEWHERE)
        _check_places(task)
        with self._known(task) as attempt, attached(self._address):
            import ray

            options = _options(task, ray.nodes())
            error = attempt.result(partial(_start, task, found, options))
        log = Path(task.folder, LOG)
        return finished(task, log, "" if attempt.stopped else error, cancelled=attempt.stopped)

    def cancel(self, task: TaskRequest) -> bool:
        """Stop a try of a task; whether it was running."""
        attempt = self._running.get(_key(task))
        if attempt:
            attempt.stop()
        return attempt is not None

    @contextmanager
    def _known(self, task: TaskRequest) -> Iterator[_Try]:
        attempt = self._running[_key(task)] = _Try()
        try:
            yield attempt
        finally:
            del self._running[_key(task)]


def check(executor: Mapping[str, Any]) -> str:
    """Why an executor cannot be run on Ray, and what to do about it; empty where it can."""
    return "" if component(executor) else f"{_LIGHT}: take {_ELSEWHERE}"


class _Try:
    """A task that is being run, and can be stopped from another thread."""

    def __init__(self) -> None:
        self.stopped = False
        self._lock = threading.Lock()
        self._reference: Any = None

    def result(self, start: Callable[[], Any]) -> str:
        """Start it unless it is stopped already, and wait; what went wrong, empty for nothing."""
        import ray

        with self._lock:
            if self.stopped:
                return ""
            self._reference = start()
        try:
            error, left = ray.get(self._reference)
        except ray.exceptions.RayError as lost:  # the worker died
            return sentence(lost)
        except BaseException:
            self.stop()
            raise
        _keep(left)
        return str(error)

    def stop(self) -> None:
        """Kill its worker; Ray kills what that started, its process group (2.60)."""
        with self._lock:
            self.stopped = True
            if self._reference is not None:
                import ray

                ray.cancel(self._reference, force=True, recursive=True)


def _key(task: TaskRequest) -> tuple[str, str]:
    return task.ref.uri, task.folder


def _check_places(task: TaskRequest) -> None:
    for side in ("inputs", "outputs"):
        for entry in task.executor_input.get(side, {}).get("artifacts", {}).values():
            for item in entry["artifacts"]:
                if item.get("uri", "").startswith("memory://"):
                    raise UnsupportedError(
                        f"{item['uri']!r} is in the memory of one process, and a worker of Ray is "
                        "another",
                        hint=_SHARED,
                    )


def _start(task: TaskRequest, found: Component, options: Mapping[str, Any]) -> Any:
    import ray

    # Ray would use a worker for the next task too, which would find there what this one left.
    remote = ray.remote(max_calls=1, max_retries=0, **options)(run_component)
    return remote.remote(
        search_path(),
        found,
        task.executor_input,
        task.folder,
        {"_KFP_RUNTIME": "true", **task.environment},
    )


def _options(task: TaskRequest, machines: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The task's resources as Ray names them."""
    options = {}
    for name, amount in {"cpus": 1.0, **task.resources}.items():
        option, resource = _RESOURCES[name]
        most = max(each["Resources"].get(resource, 0) for each in machines if each["Alive"])
        if amount > most:  # Ray would wait for such a machine for ever
            raise UnsupportedError(
                f"task {task.name!r} needs {amount:g} {name}, and the cluster has no machine with "
                f"more than {most:g}",
                hint="lower the task's limit, or use a larger cluster",
            )
        options[option] = amount
    return options


def _keep(left: Mapping[str, str]) -> None:
    """Write what a task left on a machine whose files are not seen here."""
    for name, text in left.items():
        file = Path(name)
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")


# --- in the worker ----------------------------------------------------------------------------


def run_component(
    path: Sequence[str],
    found: Component,
    executor_input: dict[str, Any],
    folder: str,
    environment: Mapping[str, str],
) -> Outcome:
    """Run a component as KFP's own entry point does; runs in a worker.

    Args:
        path: where else to look for modules.
        found: the component.
        executor_input: KFP's `ExecutorInput`.
        folder: the working directory; the log goes there.
        environment: variables to add.
    """
    sys.path.extend(entry for entry in path if entry not in sys.path)
    os.environ.update(capture.noting(environment))
    Path(folder).mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    _log_to(LOG)
    error = staging.around(executor_input, partial(_run, found, executor_input, Path(folder)))
    return error, dict(_left(executor_input, Path(folder)))


def _run(found: Component, executor_input: dict[str, Any], folder: Path) -> str:
    try:
        if lack := packages.install(found, folder):
            return lack
        execute(found.source, found.function, executor_input, folder)
    except SystemExit as leave:
        status = exit_status(leave)
        return f"exit status {status}" if status else ""
    except BaseException as error:  # noqa: BLE001  a component may fail in any way: that is a result
        traceback.print_exc()
        return sentence(error)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        shutil.rmtree(folder / packages.FOLDER, ignore_errors=True)
    return ""


def _log_to(file: str) -> None:
    """Send what this process and its children print to a file."""
    log = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    logging.basicConfig(stream=sys.stdout, level=logging.INFO)


def _left(executor_input: Mapping[str, Any], folder: Path) -> Iterator[tuple[str, str]]:
    """The log and the output parameters."""
    yield str(folder / LOG), tail(folder / LOG)
    outputs = executor_input["outputs"]
    for place in (outputs, *outputs.get("parameters", {}).values()):
        file = Path(place["outputFile"])
        if file.is_file():
            yield str(file), file.read_text("utf-8")
