"""What a pipeline job shows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from unified_mlops.pipelines.plan import EMBEDDED
from unified_mlops.records import PipelineRecord, TaskRecord
from unified_mlops.resources.base import Traced
from unified_mlops.resources.experiments import Experiment
from unified_mlops.resources.job_settings import SERVER
from unified_mlops.resources.local_pipeline import ENDED, LocalRun
from unified_mlops.resources.server_pipeline import ServerRun


class JobView(Traced):
    """A pipeline job as it is now."""

    _run: LocalRun | ServerRun

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
