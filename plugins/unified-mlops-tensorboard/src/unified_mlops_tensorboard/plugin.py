"""The plugin: a second receiver of params and metrics, written as event files."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from unified_mlops.hookspecs import LineageHooks, PluginHooks, RunHooks
from unified_mlops.records import (
    UI,
    Check,
    Collection,
    Metric,
    RunRecord,
    Scalar,
)
from unified_mlops_tensorboard import collect, files
from unified_mlops_tensorboard.convert import (
    native_errors,
    params_event,
    params_of,
    run_event,
    scalar_event,
)

PLUGIN = "tensorboard"
LONGEST = 200
"""Bytes of a folder's name; file systems take 255."""


class TensorboardPlugin(RunHooks, LineageHooks, PluginHooks):
    """Params and metrics of every run, for TensorBoard to show.

    Args:
        workspace: the session's folder.
        log_dir: the folder that TensorBoard shows; in the workspace if left out.
    """

    def __init__(self, workspace: Path, log_dir: str | None = None) -> None:
        self._root = Path(log_dir or Path(workspace) / "tensorboard").absolute()
        self._guard = threading.Lock()
        self._folders: dict[str, Path] = {}
        self._files: dict[tuple[int, Path], Path] = {}

    def mlops_log_metrics(self, run: RunRecord, metrics: Sequence[Metric]) -> None:
        """Append points to this process's event file of the run."""
        events = [scalar_event(metric) for metric in metrics]
        with native_errors(self._root), self._guard:
            folder = self._folder(run)
            key = os.getpid(), folder
            if key not in self._files:
                path = folder / files.new_name()
                files.append(path, [run_event(run.ref.uri), *events])
                self._files[key] = path
            else:
                files.append(self._files[key], events)

    def mlops_log_params(self, run: RunRecord, params: Mapping[str, Scalar]) -> None:
        """Write all params of the run anew: TensorBoard keeps the first that it reads."""
        with native_errors(self._root), self._guard:
            path = self._folder(run) / files.fixed_name("params")
            known = params_of(files.read(path, 3)) if path.exists() else {}
            files.replace(path, [run_event(run.ref.uri), params_event({**known, **params})])

    def mlops_collect_lineage(self, cursor: str | None) -> Collection:
        """Read which run each folder of event files is of."""
        with native_errors(self._root):
            return collect.collect(self._root, cursor)

    def mlops_check_plugin(self) -> Check:
        """Say where the event files are."""
        writable = next(path for path in (self._root, *self._root.parents) if path.exists())
        problem = "" if os.access(writable, os.W_OK) else f"{writable} cannot be written"
        return Check(PLUGIN, "tensorboard", version("tensorboard"), str(self._root), problem)

    def mlops_describe_ui(self) -> UI:
        """Say how to start TensorBoard."""
        command = (sys.executable, "-m", "tensorboard.main", "--logdir", str(self._root))
        options = ("--reload_multifile", "true", "--host", "127.0.0.1", "--port", "{port}")
        return UI(PLUGIN, "TensorBoard", command + options, 6006)

    def _folder(self, run: RunRecord) -> Path:
        """The run's folder; a new run under the name of a deleted one gets another."""
        uri = run.ref.uri
        if uri not in self._folders:
            parts = [_safe(part) for part in run.name.split("/")]
            folder = self._root.joinpath(_safe(run.experiment), *parts)
            if collect.runs_in(folder) - {uri}:
                folder = folder.with_name(f"{folder.name}~{collect.short(uri)}")
            folder.mkdir(parents=True, exist_ok=True)
            self._folders[uri] = folder
        return self._folders[uri]


def _safe(name: str) -> str:
    """A folder name that no other name gets and that stays in its folder."""
    safe = re.sub(r"^\.|[^\w .=+@,~-]", _escape, name)
    if len(safe.encode()) > LONGEST:
        safe = f"{safe.encode()[:LONGEST].decode(errors='ignore')}~{collect.short(name)}"
    return safe or "%"


def _escape(mark: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in mark[0].encode())
