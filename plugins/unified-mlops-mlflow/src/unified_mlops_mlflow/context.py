"""Where a run was started: the tags that MLflow asks for when native code starts one.

MLflow loads this in every process in which this package is installed. So it imports no tool, and
what it cannot find out it leaves out: a run never fails because of a tag.

- `unified_mlops.host`, `.pid`, `.cwd`: the process, and the base of the relative paths it logs.
- `kfp.pipeline_run_id`, `kfp.pipeline_name`, `kfp.task_name`: the pipeline task that it is.
- `unified_mlops.ray_job` (submission id), `unified_mlops.ray_driver` (`<session>/<job id>`): the
  Ray job that it is or works for.
- `mlflow.source.name`: in a Ray worker, where MLflow would name a file of Ray's own.
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

logger = logging.getLogger(__name__)

HOST_TAG = "unified_mlops.host"
PID_TAG = "unified_mlops.pid"
CWD_TAG = "unified_mlops.cwd"
RAY_JOB_TAG = "unified_mlops.ray_job"
RAY_DRIVER_TAG = "unified_mlops.ray_driver"
KFP_RUN_TAG = "kfp.pipeline_run_id"
KFP_PIPELINE_TAG = "kfp.pipeline_name"
KFP_TASK_TAG = "kfp.task_name"

_EXECUTOR_INPUT = "--executor_input"
_RAY_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""The variable, of this odd name, that Ray sets for the driver of a submitted job (2.60)."""
_RAY_WORKER = "default_worker.py"
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_PLACES = (
    # kfp.local: <root>/<pipeline>-<time>/<task>/…
    re.compile(
        r"/(?P<run>(?P<pipeline>[^/]+)-\d{4}(?:-\d\d){5}-\d{6})/"
        r"(?P<task>(?:[^/]+-iteration-\d+/)*[^/]+)/"
    ),
    # a KFP server: <root>/<pipeline>/<run>/<task>/…
    re.compile(rf"/(?P<pipeline>[^/]+)/(?P<run>{_UUID})/(?P<task>[^/]+)/"),
)


class RunContext:
    """MLflow's `RunContextProvider`, by shape: deriving from it would import MLflow."""

    def in_context(self) -> bool:
        """Whether there is something to say: always."""
        return True

    def tags(self) -> dict[str, str]:
        """The tags; those that `MLFLOW_RUN_CONTEXT` gives are left to it."""
        found: dict[str, str] = {}
        for look in (_process, _folder, _kfp_task, _ray_job, _source):
            try:
                found |= look()
            except Exception as error:  # noqa: BLE001  no tag is worth a run
                logger.debug("%s: %s", look.__name__, error)
        given = _object(os.environ.get("MLFLOW_RUN_CONTEXT"))
        return {key: value for key, value in found.items() if value and key not in given}


def _process() -> dict[str, str]:
    return {HOST_TAG: socket.gethostname(), PID_TAG: str(os.getpid())}


def _folder() -> dict[str, str]:
    return {CWD_TAG: str(Path.cwd())}


# --- pipelines -------------------------------------------------------------------------------


def _kfp_task() -> dict[str, str]:
    """The task that this process is, by the places where its executor input lets it write."""
    if _EXECUTOR_INPUT not in sys.argv[:-1]:
        return {}
    given = _object(sys.argv[sys.argv.index(_EXECUTOR_INPUT) + 1])
    outputs = given.get("outputs", {})
    if ours := _own_task(Path(outputs.get("outputFile", ""))):
        return ours
    for place in _outputs(outputs):
        for pattern in _PLACES:
            if match := pattern.search(place):
                return _task(match["pipeline"], match["run"], match["task"])
    return {}


def _own_task(file: Path) -> dict[str, str]:
    """A task of a job of ours, which lies in `<pipeline>/<job>/<task>` beside a `job.json`."""
    for folder in file.parents[1:]:
        if (folder / "job.json").is_file():
            task = file.parent.relative_to(folder).as_posix()
            return _task(folder.parent.name, folder.name, task)
    return {}


def _outputs(outputs: Mapping[str, Any]) -> Iterator[str]:
    yield str(outputs.get("outputFile", ""))
    for item in outputs.get("artifacts", {}).values():
        yield from (str(artifact.get("uri", "")) for artifact in item.get("artifacts", ()))
    for item in outputs.get("parameters", {}).values():
        yield str(item.get("outputFile", ""))


def _task(pipeline: str, run: str, task: str) -> dict[str, str]:
    return {KFP_PIPELINE_TAG: pipeline, KFP_RUN_TAG: run, KFP_TASK_TAG: task}


# --- Ray -------------------------------------------------------------------------------------


def _ray_job() -> dict[str, str]:
    """The Ray job that this process drives or works for."""
    metadata = _object(os.environ.get(_RAY_JOB)).get("metadata", {})
    found = {RAY_JOB_TAG: metadata.get("job_submission_id", "")}
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        here = ray.get_runtime_context()
        found[RAY_DRIVER_TAG] = f"{here.get_session_name()}/{here.get_job_id()}"
        found[RAY_JOB_TAG] = found[RAY_JOB_TAG] or _submission(ray)
    return found


def _submission(ray: Any) -> str:
    """The submission id of a worker's job, from the job's settings; not public (Ray 2.60)."""
    try:
        settings = ray._private.worker.global_worker.core_worker.get_job_config()
        return str(dict(settings.metadata).get("job_submission_id", ""))
    except AttributeError:
        return ""


def _source() -> dict[str, str]:
    """The user's file, where the program is one of Ray's own."""
    program = Path(sys.argv[0] if sys.argv else "")
    if program.name != _RAY_WORKER or "ray" not in program.parts:
        return {}
    frame: FrameType | None = sys._getframe()
    while frame is not None and _is_library(frame.f_code.co_filename):
        frame = frame.f_back
    return {"mlflow.source.name": frame.f_code.co_filename} if frame else {}


def _is_library(file: str) -> bool:
    path = Path(file)
    installed = {"site-packages", "dist-packages"}.intersection(path.parts)
    builtin = file.startswith("<") or path.is_relative_to(Path(os.__file__).parent)
    return bool(installed) or builtin or file == __file__


def _object(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
