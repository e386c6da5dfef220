"""What a pipeline job shows."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from unified_mlops.current import current_session
from unified_mlops.errors import NotFoundError
from unified_mlops.filters import parse, parse_order
from unified_mlops.hookspecs import PipelineHooks
from unified_mlops.pipelines.journal import Journal, find, journals
from unified_mlops.pipelines.plan import EMBEDDED, Options, Plan
from unified_mlops.records import PipelineRecord, TaskRecord
from unified_mlops.resources.base import Traced
from unified_mlops.resources.experiments import Experiment
from unified_mlops.resources.job_settings import SERVER, folder_of
from unified_mlops.resources.local_pipeline import ENDED, LocalRun
from unified_mlops.resources.remote_pipeline import RemoteRun
from unified_mlops.resources.server_pipeline import ServerRun
from unified_mlops.session import Session

Self = TypeVar("Self", bound="JobView")
_TEXTS = ("job_id", "display_name", "pipeline_name", "state", "error", "runner", "experiment")
_FIELDS = {
    **dict.fromkeys(_TEXTS, str),
    **dict.fromkeys(("create_time", "end_time"), datetime),
    **dict.fromkeys(("labels", "parameters"), dict),
}


class JobView(Traced):
    """A pipeline job as it is now."""

    _run: LocalRun | ServerRun

    @classmethod
    def _of(cls: type[Self], journal: Journal, session: Session) -> Self:
        """The job of a journal."""
        job, told = object.__new__(cls), journal.read()
        job.session = session
        options = told["options"]
        plan = Plan(
            session.ask(PipelineHooks.mlops_load_pipeline, template=journal.spec()),
            told["jobId"],
            told["root"],
            told["parameters"],
            told["artifacts"],
            told["runner"],
            Options(options["caching"], options["maxAge"], options["failurePolicy"]),
            told["displayName"],
            told["labels"],
            told["experiment"],
            told["scheduleTime"],
        )
        job._run = LocalRun.of(session, plan, journal)
        return job

    @classmethod
    def _on_server(cls: type[Self], run: RemoteRun, session: Session) -> Self:
        job = object.__new__(cls)
        job.session, job._run = session, ServerRun.of(session, run)
        return job

    @classmethod
    def get(
        cls: type[Self],
        job_id: str,
        *,
        runner: str | None = None,
        pipeline_root: str | Path | None = None,
        session: Session | None = None,
    ) -> Self | None:
        """The job of that id, also one of another process, or None; of a server by `runner`."""
        session = session or current_session()
        try:
            if runner == SERVER:
                return cls._on_server(RemoteRun.find(session, job_id), session)
            return cls._of(find(folder_of(pipeline_root, session), job_id), session)
        except NotFoundError:
            return None

    @classmethod
    def list(
        cls: type[Self],
        filter: str | None = None,  # noqa: A002  Vertex's name
        order_by: str | None = None,
        *,
        runner: str | None = None,
        pipeline_root: str | Path | None = None,
        session: Session | None = None,
    ) -> builtins.list[Self]:
        """The jobs below a pipeline root, or on a KFP server, the newest first.

        Args:
            filter: AIP-160, over `job_id display_name pipeline_name state error runner experiment
                create_time end_time labels parameters`, such as `state="PIPELINE_STATE_FAILED"
                AND labels.team="risk"`.
            order_by: such as `display_name, create_time desc`.
            runner: `kfp` for those of the server.
            pipeline_root: where they are; below the workspace if left out.
            session: the session; the current one if left out.

        Raises:
            ArgumentError: the filter cannot be read.
        """
        session = session or current_session()
        chosen = parse(filter or "", _FIELDS)
        order = parse_order(order_by or "create_time desc", _FIELDS)
        if runner == SERVER:
            found = [cls._on_server(run, session) for run in RemoteRun.list(session)]
        else:
            folder = folder_of(pipeline_root, session)
            found = [cls._of(item, session) for item in journals(folder)]
        return order.sort([job for job in found if chosen.matches(job.shown())], cls.shown)

    @property
    def uri(self) -> str:
        """The URN of the run in the lineage graph, where it stands once it has begun."""
        return self._run.uri

    @property
    def job_id(self) -> str:
        """Its id."""
        return self._run.plan.job_id

    @property
    def display_name(self) -> str:
        """Its name, for people."""
        return self._run.plan.display_name

    @property
    def pipeline(self) -> PipelineRecord:
        """Its compiled pipeline."""
        return self._run.plan.pipeline

    @property
    def pipeline_name(self) -> str:
        """The name of its pipeline."""
        return self._run.plan.pipeline.name

    @property
    def parameter_values(self) -> Mapping[str, Any]:
        """The parameters it was given."""
        return self._run.plan.parameters

    @property
    def runner(self) -> str:
        """Where it runs: `embedded`, `ray`, `kfp` for a KFP server, or a plugin."""
        if isinstance(self._run, ServerRun):
            return SERVER
        provider = self._run.plan.provider
        return "embedded" if provider == EMBEDDED else provider

    @property
    def labels(self) -> Mapping[str, str]:
        """Its labels."""
        return self._run.plan.labels

    @property
    def state(self) -> str:
        """Its state, with Vertex's names; PIPELINE_STATE_PAUSED where its process is gone."""
        return self._run.state

    @property
    def error(self) -> str:
        """What went wrong; empty for nothing."""
        return self._run.error

    @property
    def create_time(self) -> datetime | None:
        """When it was begun; None before."""
        return self._run.time("createTime")

    @property
    def end_time(self) -> datetime | None:
        """When it ended; None before."""
        return self._run.time("endTime")

    @property
    def task_details(self) -> Mapping[str, TaskRecord]:
        """Every task, iteration and group of tasks by its name: state, inputs, outputs, log."""
        return self._run.tasks

    @property
    def outputs(self) -> Mapping[str, Any]:
        """What the pipeline gives out: parameters, and artifacts in KFP's form."""
        return self._run.outputs

    def done(self) -> bool:
        """Whether it has ended."""
        return self.state in ENDED

    def get_associated_experiment(self) -> Experiment | None:
        """The experiment in which it is recorded, or None."""
        name = None if self.runner == SERVER else self._run.plan.experiment
        return Experiment(name, session=self.session) if name else None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.job_id!r}, {self.state})"

    def shown(self) -> dict[str, Any]:
        """It as filters and tables see it."""
        plan = self._run.plan
        return {
            "job_id": plan.job_id,
            "display_name": plan.display_name,
            "pipeline_name": plan.pipeline.name,
            "state": self.state,
            "error": self.error,
            "runner": self.runner,
            "experiment": plan.experiment,
            "create_time": self.create_time,
            "end_time": self.end_time,
            "labels": plan.labels,
            "parameters": plan.parameters,
        }
