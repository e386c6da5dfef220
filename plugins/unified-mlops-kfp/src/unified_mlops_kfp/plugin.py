"""The hooks that KFP serves: pipeline definitions, tasks run on this machine, their lineage."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from unified_mlops.errors import ArgumentError
from unified_mlops.hookspecs import LineageHooks, PipelineHooks, PluginHooks, TaskHooks
from unified_mlops.records import Check, Collection, PipelineRecord, TaskRecord, TaskRequest
from unified_mlops_kfp import convert
from unified_mlops_kfp.collect import collect
from unified_mlops_kfp.definitions import load
from unified_mlops_kfp.launcher import Launcher
from unified_mlops_kfp.server import Server


class KfpPlugin(PipelineHooks, TaskHooks, LineageHooks, PluginHooks):
    """Kubeflow pipelines, compiled as ever, run on this machine.

    Args:
        workspace: the session's folder.
        root: where runs leave their files; `pipelines` in the workspace where empty.
        preload: modules that the fork server imports before it forks, separated by commas.
        local: folders where `kfp.local` leaves its runs (its `pipeline_root`), separated by commas.
        definitions: folders of compiled pipelines, separated by commas.
        endpoint: the address of a KFP server whose runs are collected, such as `http://host:8888`.
        token_file: a file with the token that the server wants; read anew each time.

    Raises:
        ConfigError: the endpoint is no http address, or has a password in it.
    """

    def __init__(
        self,
        workspace: Path,
        root: str = "",
        preload: str = "",
        local: str = "",
        definitions: str = "",
        endpoint: str = "",
        token_file: str = "",
    ) -> None:
        self.root = Path(root).expanduser().absolute() if root else workspace / "pipelines"
        self._local, self._definitions = _folders(local), _folders(definitions)
        self._server = Server(endpoint, token_file) if endpoint else None
        self._launcher = Launcher(_names(preload))

    def mlops_load_pipeline(self, template: Any) -> PipelineRecord:
        """Read a compiled pipeline from a file or a dict, or compile a `kfp.dsl` function."""
        if isinstance(template, Mapping):
            return convert.pipeline(template)
        if isinstance(template, str | os.PathLike):
            return convert.pipeline(load(Path(template).expanduser()))
        if hasattr(template, "pipeline_spec"):
            return convert.pipeline(_compile(template))
        raise ArgumentError(
            f"{template!r} is neither a pipeline function nor a compiled file",
            hint="decorate the function with @kfp.dsl.pipeline, or give the file's path",
        )

    def mlops_run_task(self, task: TaskRequest) -> TaskRecord:
        """Run a lightweight Python component in a process forked for it."""
        source, function = convert.component(task)
        log = Path(task.folder, "log.txt")
        status = self._launcher.run(
            {
                "source": source,
                "function": function,
                "executor_input": task.executor_input,
                "environment": {**os.environ, "_KFP_RUNTIME": "true", **task.environment},
                "folder": task.folder,
                "log": str(log),
            }
        )
        return convert.finished(task, status, log)

    def mlops_collect_lineage(self, cursor: str | None) -> Collection:
        """Read what runs left below the roots, and what a server tells of its own."""
        return collect(self.root, self._local, self._definitions, self._server, cursor)

    def mlops_check_plugin(self) -> Check:
        """Say which KFP this is and where its runs are."""
        return Check("kfp", "Kubeflow Pipelines SDK", version("kfp"), str(self.root))


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _folders(text: str) -> list[Path]:
    return [Path(name).expanduser().absolute() for name in _names(text)]


def _compile(template: Any) -> Mapping[str, Any]:
    from kfp.compiler import Compiler

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        path = Path(folder, "pipeline.yaml")
        Compiler().compile(template, str(path))
        return load(path)
