"""The hooks that KFP serves: pipelines, here task by task or whole on a server, and lineage."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from unified_mlops.errors import ArgumentError, ConfigError
from unified_mlops.hookspecs import LineageHooks, PipelineHooks, PluginHooks, TaskHooks
from unified_mlops.records import (
    Check,
    Collection,
    JobRequest,
    PipelineJobRecord,
    PipelineRecord,
    Ref,
    TaskRecord,
    TaskRequest,
)
from unified_mlops_kfp import convert
from unified_mlops_kfp.collect import collect
from unified_mlops_kfp.server import Server
from unified_mlops_kfp.submit import Jobs
from unified_mlops_kfp.tasks import Tasks
from unified_mlops_kfp.template import load


class KfpPlugin(PipelineHooks, TaskHooks, LineageHooks, PluginHooks):
    """Kubeflow pipelines, compiled as ever, run on this machine or on a KFP server.

    Args:
        workspace: the session's folder.
        root: where runs leave their files; `pipelines` in the workspace where empty.
        preload: modules that the fork server imports before it forks, separated by commas.
        local: folders where `kfp.local` leaves its runs (its `pipeline_root`), separated by commas.
        definitions: folders of compiled pipelines, separated by commas.
        endpoint: the address of a KFP server, such as `http://host:8888`: whole pipelines are
            submitted to it, and its runs are collected.
        token_file: a file with the token that the server wants; read anew each time.
        namespace: whose runs, where the server has several users.
        mode: "process" for a process per task; "inprocess" runs components in the session's own,
            one at a time, where `breakpoint()` works.
        container_runner: "docker"; "host" to run the commands of container components on this
            machine, without their images; empty for Docker if a daemon answers.

    Raises:
        ConfigError: the endpoint is no http address, or has a password in it; an unknown mode or
            container runner.
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
        namespace: str = "",
        mode: str = "process",
        container_runner: str = "",
    ) -> None:
        self.root = Path(root).expanduser().absolute() if root else workspace / "pipelines"
        self._local, self._definitions = _folders(local), _folders(definitions)
        self._server = Server(endpoint, token_file, namespace) if endpoint else None
        self._remote = Jobs(self._server) if self._server else None
        self._tasks = Tasks(
            self.root, workspace / "environments", _names(preload), mode, container_runner
        )

    def mlops_load_pipeline(self, template: Any) -> PipelineRecord:
        """Read a compiled pipeline from a file, an address or a dict, or compile a function."""
        if isinstance(template, Mapping):
            return convert.pipeline(template)
        if isinstance(template, str | os.PathLike):
            return convert.pipeline(load(os.fspath(template)))
        if hasattr(template, "pipeline_spec"):
            return convert.pipeline(_compile(template))
        raise ArgumentError(
            f"{template!r} is neither a pipeline function nor a compiled file",
            hint="decorate the function with @kfp.dsl.pipeline, or give the file's path",
        )

    def mlops_submit_pipeline(self, pipeline: PipelineRecord, job: JobRequest) -> PipelineJobRecord:
        """Create a run of the file, as it is, on the KFP server."""
        return self._jobs.submit(pipeline, job)

    def mlops_get_pipeline_job(self, job: Ref) -> PipelineJobRecord:
        """Return what the server tells of a run and its tasks."""
        return self._jobs.get(job)

    def mlops_list_pipeline_jobs(self, name: str) -> list[PipelineJobRecord]:
        """Return the runs of the server, whoever started them."""
        return self._jobs.list(name)

    def mlops_cancel_pipeline_job(self, job: Ref) -> PipelineJobRecord:
        """Have the server terminate a run."""
        return self._jobs.cancel(job)

    def mlops_delete_pipeline_job(self, job: Ref) -> None:
        """Have the server delete a run that has ended."""
        self._jobs.delete(job)

    def mlops_run_task(self, task: TaskRequest) -> TaskRecord:
        """Run a component in a process forked for it, or the command of a container."""
        return self._tasks.run(task)

    def mlops_cancel_task(self, task: TaskRequest) -> bool:
        """Stop a task with all that it started: asked first, killed after two seconds."""
        return self._tasks.cancel(task)

    def mlops_check_task(self, runner: Ref, executor: Mapping[str, Any]) -> str:  # noqa: ARG002
        """Say why an executor cannot be run on this machine."""
        return self._tasks.check(executor)

    def mlops_collect_lineage(self, cursor: str | None) -> Collection:
        """Read what runs left below the roots, and what a server tells of its own."""
        return collect(self.root, self._local, self._definitions, self._server, cursor)

    def mlops_check_plugin(self) -> Check:
        """Say which KFP this is and where its runs are."""
        return Check("kfp", "Kubeflow Pipelines SDK", version("kfp"), str(self.root))

    @property
    def _jobs(self) -> Jobs:
        if self._remote is None:
            raise ConfigError(
                "no KFP server is configured",
                hint='set endpoint = "http://<host>:8888" in [plugins.kfp]',
            )
        return self._remote


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
        return load(str(path))
