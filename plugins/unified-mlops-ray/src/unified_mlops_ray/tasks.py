"""Pipeline tasks: a lightweight KFP component in a Ray worker of its own."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from unified_mlops.errors import UnsupportedError
from unified_mlops.records import TaskRecord, TaskRequest
from unified_mlops_ray import capture, convert
from unified_mlops_ray.connect import attached
from unified_mlops_ray.tuning import search_path

COMPONENT = "unified_mlops_component"
LOG = "log.txt"


def run(address: str | None, task: TaskRequest) -> TaskRecord:
    """Run a component on a cluster and wait for it.

    Args:
        address: the cluster.
        task: what to run; its folder is one that the cluster sees.

    Raises:
        UnsupportedError: it is no lightweight Python component, or larger than the cluster.
    """
    source, function = convert.component(task)
    with attached(address):
        import ray

        options = _options(task, ray.cluster_resources())
        remote = ray.remote(max_calls=1, max_retries=0, **options)(run_component)
        running = remote.remote(
            search_path(),
            (source, function),
            task.executor_input,
            task.folder,
            {"_KFP_RUNTIME": "true", **task.environment},
        )
        try:
            error = ray.get(running)
        except ray.exceptions.RayError as lost:  # the worker died
            error = convert.sentence(lost)
        except BaseException:
            ray.cancel(running, force=True)
            raise
    return convert.finished(task, error, Path(task.folder, LOG))


def _options(task: TaskRequest, cluster: Mapping[str, float]) -> dict[str, float]:
    """The task's resources as Ray names them."""
    names = {
        "cpus": ("num_cpus", "CPU"),
        "gpus": ("num_gpus", "GPU"),
        "memory_bytes": ("memory", "memory"),
    }
    options = {}
    for name, amount in {"cpus": 1.0, **task.resources}.items():
        option, resource = names[name]
        if amount > cluster.get(resource, 0):  # Ray would wait for such a machine for ever
            raise UnsupportedError(
                f"task {task.name!r} needs {amount:g} {name}, and the cluster has "
                f"{cluster.get(resource, 0):g}",
                hint="lower the task's limit, or use a larger cluster",
            )
        options[option] = amount
    return options


def run_component(
    path: Sequence[str],
    component: tuple[str, str],
    executor_input: dict[str, Any],
    folder: str,
    environment: Mapping[str, str],
) -> str:
    """Run a component as KFP's own entry point does; runs in a worker.

    Args:
        path: where else to look for modules.
        component: its source, and the name of the function in it.
        executor_input: KFP's `ExecutorInput`.
        folder: the working directory; the log goes there.
        environment: variables to add.

    Returns:
        What went wrong, empty for nothing.
    """
    sys.path.extend(entry for entry in path if entry not in sys.path)
    os.environ.update(capture.noting(environment))
    Path(folder).mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    _log_to(LOG)
    try:
        _execute(*component, executor_input)
    except SystemExit as leave:
        return "" if leave.code in {None, 0} else f"exit status {leave.code}"
    except BaseException as error:  # noqa: BLE001  a component may fail in any way: that is a result
        traceback.print_exc()
        return convert.sentence(error)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return ""


def _log_to(file: str) -> None:
    """Send what this process and its children print to a file."""
    log = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)


def _execute(source: str, function: str, executor_input: dict[str, Any]) -> None:
    from kfp.dsl.executor import Executor

    file = Path(f"{COMPONENT}.py").absolute()
    file.write_text(source, "utf-8")  # tracebacks and `inspect` read it
    given = json.dumps(executor_input)
    sys.argv = [str(file), "--executor_input", given, "--function_to_execute", function]
    module = ModuleType(COMPONENT)
    module.__file__ = str(file)
    sys.modules[COMPONENT] = module
    exec(compile(source, file, "exec", dont_inherit=True), module.__dict__)
    called = getattr(module, function)
    Executor(executor_input=json.loads(given), function_to_execute=called).execute()
