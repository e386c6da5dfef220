"""Pipelines: a compiled KFP file, run task by task, each task a run of one experiment."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from unified_mlops.current import current_session
from unified_mlops.errors import ArgumentError, TaskFailedError, UnsupportedError
from unified_mlops.hookspecs import PipelineHooks
from unified_mlops.pipelines.plan import Options, Plan
from unified_mlops.pipelines.schedule import JOB_NAME
from unified_mlops.resources.job_settings import (
    SERVER,
    id_of,
    policy_of,
    provider_of,
    runner_of,
)
from unified_mlops.resources.job_view import JobView
from unified_mlops.resources.local_pipeline import LocalRun
from unified_mlops.resources.schedules import PipelineJobSchedule
from unified_mlops.resources.server_pipeline import ServerRun
from unified_mlops.session import Session


class PipelineJob(JobView):
    """One run of a pipeline.

    Args:
        display_name: its name, for people.
        template_path: a compiled YAML or JSON file, its URL, or a `kfp.dsl` pipeline function.
        parameter_values: the pipeline's parameters.
        input_artifacts: the pipeline's input artifacts: a URI, KFP's form of an artifact, or a
            list of these.
        job_id: names the run: small letters, digits and hyphens, at most 128, a letter first.
            Made from the pipeline's name and the time if left out.
        pipeline_root: a folder, or a URI such as `s3://bucket/folder`; below the workspace if left
            out.
        runner: `embedded` runs the tasks on this machine, `ray` on a Ray cluster, `kfp` has the
            whole file run by a KFP server; any other name is that of a plugin.
        enable_caching: whether outputs of earlier runs are taken; as each task says if left out.
        cache_max_age: how old these may be, in seconds.
        failure_policy: `slow` goes on with what a failed task does not touch, `fast` starts no
            more tasks.
        labels: for people and filters.
        session: the session; the current one if left out.

    Raises:
        ArgumentError: a parameter or an artifact is unknown or missing; nothing has run.
        UnsupportedError: the pipeline uses what cannot be run there; names it.
    """

    def __init__(
        self,
        display_name: str,
        template_path: Any,
        *,
        parameter_values: Mapping[str, Any] | None = None,
        input_artifacts: Mapping[str, Any] | None = None,
        job_id: str | None = None,
        pipeline_root: str | Path | None = None,
        runner: str | None = None,
        enable_caching: bool | None = None,
        cache_max_age: float | None = None,
        failure_policy: Literal["slow", "fast"] = "slow",
        labels: Mapping[str, str] | None = None,
        session: Session | None = None,
    ) -> None:
        self.session = session or current_session()
        runner = runner_of(runner, self.session)
        pipeline = self.session.ask(PipelineHooks.mlops_load_pipeline, template=template_path)
        plan = Plan(
            pipeline,
            id_of(job_id, pipeline.name),
            str(pipeline_root or ""),
            dict(parameter_values or {}),
            dict(input_artifacts or {}),
            provider_of(runner),
            Options(enable_caching, cache_max_age, policy_of(failure_policy)),
            display_name,
            dict(labels or {}),
        )
        self._run = (ServerRun if runner == SERVER else LocalRun)(self.session, plan)

    def submit(self, experiment: str | None = None) -> None:
        """Begin, and return at once. The process goes on until its jobs have ended.

        Args:
            experiment: where the job is a run and each task a child run; the session's if left
                out. Without either, the job is recorded in its pipeline root alone.

        Raises:
            AlreadyExistsError: there is a job of this id.
        """
        self._run.start(experiment or self.session.config.experiment, watched=False)

    def run(self, experiment: str | None = None) -> None:
        """Run it and wait.

        Args:
            experiment: as in `submit`.

        Raises:
            TaskFailedError: a task failed; names it and where its log is.
        """
        self._run.start(experiment or self.session.config.experiment)
        try:
            self.wait()
        except KeyboardInterrupt:
            self.cancel()
            raise

    def wait(self, timeout: float | None = None) -> None:
        """Wait until it has ended.

        Args:
            timeout: for how many seconds at most.

        Raises:
            TaskFailedError: it failed.
            TimeoutError: it has not ended in that time.
        """
        self._run.wait(timeout)
        if self.state == "PIPELINE_STATE_FAILED":
            failed = [task for task in self.task_details.values() if task.state == "FAILED"]
            logs = [f"{task.folder}/log.txt" for task in failed if task.folder]
            raise TaskFailedError(self.error, hint=f"see {logs[-1] if logs else self._run.folder}")

    def cancel(self) -> None:
        """Stop it, with every process that it started; its state is then CANCELLED."""
        self._run.cancel()

    def resume(self) -> None:
        """Go on with a job that was interrupted, cancelled or failed; returns at once.

        What its tasks had finished is not run again.
        """
        if self.state == "PIPELINE_STATE_SUCCEEDED":
            raise ArgumentError(f"job {self.job_id!r} has succeeded", hint="job.clone().run()")
        self._run.start(self._run.plan.experiment, self._run.kept(), again=True, watched=False)

    def rerun(self, job_id: str | None = None) -> PipelineJob:
        """A new job that begins where this one failed; returns at once.

        Args:
            job_id: of the new job.
        """
        again, run = self.clone(job_id=job_id), self._run
        again._run.start(run.plan.experiment, run.kept(), watched=False)
        return again

    def clone(
        self,
        display_name: str | None = None,
        *,
        job_id: str | None = None,
        parameter_values: Mapping[str, Any] | None = None,
        input_artifacts: Mapping[str, Any] | None = None,
        runner: str | None = None,
        enable_caching: bool | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> PipelineJob:
        """A new job like this one, but for what is given; its input artifacts are the same."""
        plan = self._run.plan
        if not plan.pipeline.spec:
            fact = f"the server does not tell what {self.job_id!r} was compiled from"
            raise UnsupportedError(fact, hint="PipelineJob(display_name, template_path, …)")
        caching = plan.options.caching if enable_caching is None else enable_caching
        return PipelineJob(
            display_name or plan.display_name,
            plan.pipeline.spec,
            parameter_values={**plan.parameters, **(parameter_values or {})},
            input_artifacts={**plan.artifacts, **(input_artifacts or {})},
            job_id=job_id,
            pipeline_root=plan.root,
            runner=runner or self.runner,
            enable_caching=caching,
            cache_max_age=plan.options.max_age,
            failure_policy=plan.options.failure_policy,
            labels=plan.labels if labels is None else labels,
            session=self.session,
        )

    def create_schedule(
        self,
        cron: str,
        display_name: str,
        *,
        start_time: str | datetime | None = None,
        end_time: str | datetime | None = None,
        allow_queueing: bool = False,
        max_run_count: int | None = None,
        max_concurrent_run_count: int = 1,
        catch_up: bool = False,
        experiment: str | None = None,
        job_name_template: str = JOB_NAME,
    ) -> PipelineJobSchedule:
        """Run jobs like this one again and again; see `PipelineJobSchedule.create`."""
        (schedule := PipelineJobSchedule(self, display_name)).create(
            cron,
            start_time=start_time,
            end_time=end_time,
            allow_queueing=allow_queueing,
            max_run_count=max_run_count,
            max_concurrent_run_count=max_concurrent_run_count,
            catch_up=catch_up,
            experiment=experiment,
            job_name_template=job_name_template,
        )
        return schedule

    def delete(self) -> None:
        """Remove its files; its runs in the experiment stay."""
        self._run.delete()
