"""The hooks that KFP serves: pipeline definitions, tasks run on this machine, their lineage."""

from __future__ import annotations

import json
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
from unified_mlops_kfp.launcher import Launcher


class KfpPlugin(PipelineHooks, TaskHooks, LineageHooks, PluginHooks):
    """Kubeflow pipelines, compiled as ever, run on this machine.

    Args:
        workspace: the session's folder.
        root: where runs leave their files; `pipelines` in the workspace where empty.
        preload: modules that the fork server imports before it forks, separated by commas.
    """

    def __init__(self, workspace: Path, root: str = "", preload: str = "") -> None:
        self.root = Path(root).expanduser().absolute() if root else workspace / "pipelines"
        names = (name.strip() for name in preload.split(","))
        self._launcher = Launcher([name for name in names if name])

    def mlops_load_pipeline(self, template: Any) -> PipelineRecord:
        """Read a compiled pipeline from a file or a dict, or compile a `kfp.dsl` function."""
        if isinstance(template, Mapping):
            return convert.pipeline(template)
        if isinstance(template, str | os.PathLike):
            return convert.pipeline(_read(Path(template).expanduser()))
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
        """Read what the runs below the root left behind."""
        return collect(self.root, cursor)

    def mlops_check_plugin(self) -> Check:
        """Say which KFP this is and where its runs are."""
        return Check("kfp", "Kubeflow Pipelines SDK", version("kfp"), str(self.root))


def _compile(template: Any) -> Mapping[str, Any]:
    from kfp.compiler import Compiler

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        path = Path(folder, "pipeline.yaml")
        Compiler().compile(template, str(path))
        return _read(path)


def _read(path: Path) -> Mapping[str, Any]:
    """A compiled file; what it says for single platforms stands in its second document."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        text = path.read_text()
        documents = [json.loads(text)] if path.suffix == ".json" else yaml.load_all(text, loader)
        merged: dict[str, Any] = {}
        for document in documents:
            merged = {**document, **merged}
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        raise ArgumentError(
            f"the pipeline file {str(path)!r} cannot be read: {str(error).partition(chr(10))[0]}",
            hint="give a file that kfp.compiler.Compiler().compile(pipeline, path) has written",
        ) from error
    return merged
