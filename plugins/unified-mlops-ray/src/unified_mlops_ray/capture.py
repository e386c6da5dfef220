"""What Ray Data reads and writes, noted by the driver.

`RAY_DATA_EXECUTION_CALLBACKS=unified_mlops_ray.capture.Capture` makes Ray call this for every
execution; `umlops run` does the same, and our trials and tasks have the variable. Each execution
that succeeded and that read or wrote at a place with a name is one line of JSON in
`<workspace>/ray/data/<session>-<job id>.jsonl`:

    {"job": "<session>/<job id>", "submission": "<submission id or empty>",
     "reads": ["<URI>", …], "writes": ["<URI>", …], "time": <seconds since the epoch>}

URIs are canonical and free of credentials. The workspace is that of the session, or else
`UNIFIED_MLOPS_WORKSPACE`; where there is none, nothing is written.
"""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from unified_mlops.lineage import urn

CALLBACKS = "RAY_DATA_EXECUTION_CALLBACKS"
WORKSPACE = "UNIFIED_MLOPS_WORKSPACE"
_SCHEMES = {"local": "", "s3": "s3://", "gcs": "gs://"}
"""What a path of one of Arrow's file systems lacks to be a URI; of others it lacks more."""
_noted: set[tuple[int, Path, tuple[str, ...], tuple[str, ...]]] = set()


def __getattr__(name: str) -> Any:
    """`Capture`, made when Ray asks for it: its base is in a module of Ray's own."""
    if name == "Capture":
        return _callback()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@cache
def _callback() -> Any:
    """The callback class. Its base and the operators it reads are not public (Ray 2.60)."""
    from ray.data._internal.execution.execution_callback import ExecutionCallback

    class Capture(ExecutionCallback):  # type: ignore[misc]
        """Notes what an execution read and wrote once it has succeeded."""

        def after_execution_succeeds(self, executor: Any) -> None:
            """Note it; what goes wrong is a warning."""
            try:
                note(executor._topology)
            except Exception as error:  # noqa: BLE001  the user's data is there all the same
                warnings.warn(f"what Ray Data did is not recorded: {error}", stacklevel=2)

    return Capture


def watch(module: ModuleType) -> None:
    """For `umlops run`: let every `DataContext` of `ray.data.context` know the callback.

    Not by the variable, which other environments would inherit and fail to import.
    """
    kind: Any = module.DataContext
    native = kind.execution_callback_classes.fget

    def classes(context: Any) -> list[Any]:
        found = list(native(context))
        return found if _callback() in found else [*found, _callback()]

    kind.execution_callback_classes = property(classes)


def noting(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables for this process, with Ray's for the callback where its workspace is seen here.

    Args:
        environment: what the process will have besides its own.
    """
    whole = {**os.environ, **environment}
    workspace, known = _workspace(whole), whole.get(CALLBACKS, "")
    ours = f"{__name__}.Capture"
    if workspace is None or not workspace.is_dir() or ours in known:
        return dict(environment)
    return {**environment, CALLBACKS: ",".join(filter(None, [known, ours]))}


def note(operators: Iterable[Any]) -> None:
    """Write one line for an execution, unless this process wrote the same before.

    Args:
        operators: its physical operators.
    """
    workspace = _workspace(os.environ)
    if workspace is None:
        return
    logical = {id(each): each for one in operators for each in one._logical_operators}.values()
    reads = tuple(sorted({uri for each in logical for uri in _reads(each)}))
    writes = tuple(sorted({uri for each in logical for uri in _writes(each)}))
    job, submission = driver()
    file = workspace / "ray" / "data" / f"{job.replace('/', '-')}.jsonl"
    mark = (os.getpid(), file, reads, writes)
    if not (reads or writes) or mark in _noted:
        return
    line = {"job": job, "submission": submission, "reads": reads, "writes": writes}
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab", buffering=0) as log:  # one write: lines of several processes do not mix
        log.write(json.dumps({**line, "time": time.time()}).encode() + b"\n")
    _noted.add(mark)


def driver() -> tuple[str, str]:
    """`<session>/<job id>` of this process's job, and its submission id where it was submitted."""
    import ray

    here = ray.get_runtime_context()
    settings = ray._private.worker.global_worker.core_worker.get_job_config()  # not public (2.60)
    submission = dict(settings.metadata).get("job_submission_id", "")
    return f"{here.get_session_name()}/{here.get_job_id()}", str(submission)


def _workspace(variables: Mapping[str, str]) -> Path | None:
    stored = json.loads(variables.get("UNIFIED_MLOPS_SESSION") or "{}")
    found = stored.get("config", {}).get("workspace") or variables.get(WORKSPACE)
    return Path(found).absolute() if found else None


def _reads(operator: Any) -> Iterator[str]:
    """The places that an operator reads: of the new reader `ListFiles`, of the others `Read`."""
    kind = type(operator).__name__
    if kind == "ListFiles":
        yield from _uris(operator.source_paths, operator.filesystem)
    elif kind == "Read":
        source = operator.datasource
        paths = getattr(source, "_source_paths", None)
        yield from _uris(paths or (), getattr(source, "_filesystem", None))


def _writes(operator: Any) -> Iterator[str]:
    if type(operator).__name__ == "Write":
        sink = operator.datasink_or_legacy_datasource
        path = getattr(sink, "unresolved_path", None)
        yield from _uris([path] if path else (), getattr(sink, "filesystem", None))


def _uris(paths: Iterable[Any], filesystem: Any) -> Iterator[str]:
    for each in [paths] if isinstance(paths, str | Path) else paths:
        path = str(each).removeprefix("local://")  # Ray's word for a file of the driver's node
        prefix = "" if "://" in path else _prefix(filesystem)
        if prefix is not None:
            yield urn.canonical(prefix + path, Path.cwd())


def _prefix(filesystem: Any) -> str | None:
    """The scheme of a file system's paths; None for one that has no name here."""
    inner = filesystem.unwrap() if hasattr(filesystem, "unwrap") else filesystem
    return "" if inner is None else _SCHEMES.get(inner.type_name)
