"""The contract: every operation is a hook, and a plugin overrides the ones its tool can serve.

A hook is one verb on one noun, `mlops_<verb>_<noun>`. Hooks stand in a class per noun, and the
class is what `[providers]` routes by. Beside each hook stands its lineage: what it reads and
writes, or why it moves nothing. A hook is asked of the one plugin that owns its first argument or
serves its noun; `mlops_log_*` on runs, `mlops_collect_lineage`, `mlops_check_plugin` and
`mlops_describe_ui` are told to every plugin that overrides them.

No hook and no implementation has a default argument. An implementation may take fewer arguments
than its hook.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pluggy

from unified_mlops.lineage.declare import lineage
from unified_mlops.records import (
    UI,
    Check,
    ClusterRecord,
    Collection,
    DatasetRecord,
    EndpointRecord,
    FeatureViewRecord,
    JobRequest,
    MaterializationRecord,
    Metric,
    ModelRecord,
    ModelVersionRecord,
    PipelineJobRecord,
    PipelineRecord,
    PredictionRecord,
    Record,
    Ref,
    ReportRecord,
    Row,
    RunRecord,
    Scalar,
    ServerRecord,
    State,
    TaskRecord,
    TaskRequest,
    Trial,
    TuningRecord,
)

PROJECT = "unified_mlops"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class RunHooks:
    """Experiment runs: what was tried, with which values, on which data."""

    @hookspec
    @lineage(writes=("result",))
    def mlops_create_run(
        self, experiment: str, name: str, parent: RunRecord | None, tags: Mapping[str, str]
    ) -> RunRecord:
        """Create a run in state RUNNING, and its experiment where that is new.

        :param experiment: the experiment's name.
        :param name: the run's name, unique in its experiment.
        :param parent: the run it is a child of.
        :param tags: tags to stand on the run from its start.
        :raises AlreadyExistsError: the experiment has a run of that name.
        """
        raise NotImplementedError

    @hookspec
    @lineage.none("looks up what is there")
    def mlops_get_run(self, experiment: str, name: str) -> RunRecord:
        """Return a run with its params, last metrics and tags.

        :param experiment: the experiment's name.
        :param name: the run's name.
        :raises NotFoundError: no such experiment or run.
        """
        raise NotImplementedError

    @hookspec
    @lineage.none("looks up what is there")
    def mlops_list_runs(self, experiment: str) -> Sequence[RunRecord]:
        """Return every run of an experiment, oldest first, child runs too.

        :param experiment: the experiment's name.
        :raises NotFoundError: no such experiment.
        """
        raise NotImplementedError

    @hookspec
    @lineage.none("a change of state moves nothing")
    def mlops_update_run(self, run: RunRecord, state: State, tags: Mapping[str, str]) -> RunRecord:
        """Set a run's state, and its end time where the state is final; add tags.

        :param run: the run.
        :param state: its new state.
        :param tags: tags to add or replace.
        """
        raise NotImplementedError

    @hookspec
    @lineage.none("values carry no identity of their own")
    def mlops_log_params(self, run: RunRecord, params: Mapping[str, Scalar]) -> None:
        """Record parameters; one that was logged before is overwritten.

        :param run: the run.
        :param params: values by name; their types come back.
        """

    @hookspec
    @lineage.none("values carry no identity of their own")
    def mlops_log_metrics(self, run: RunRecord, metrics: Sequence[Metric]) -> None:
        """Record values of time series, all or none.

        :param run: the run.
        :param metrics: values in the order they were logged.
        """

    @hookspec
    @lineage(reads=("dataset",), writes=("run",))
    def mlops_log_input(self, run: RunRecord, dataset: DatasetRecord, context: str) -> None:
        """Record that a run read a dataset.

        :param run: the run.
        :param dataset: what it read; its URI must be kept exactly.
        :param context: what for, such as `training` or `evaluation`.
        """

    @hookspec
    @lineage.none("a file of the run itself; data and models have hooks of their own")
    def mlops_log_artifact(self, run: RunRecord, path: Path, folder: str) -> None:
        """Keep a copy of a file with a run.

        :param run: the run.
        :param path: the file.
        :param folder: where it stands among the run's artifacts; empty for the top.
        """

    @hookspec
    @lineage.none("a way in for the tool's own library; what that logs is the tool's record")
    def mlops_export_run(self, run: RunRecord) -> Mapping[str, str]:
        """Return the variables by which the tool's own library logs below a run.

        They are for another process, in which nothing of ours needs to be imported.

        :param run: the run.
        """
        raise NotImplementedError


class ModelHooks:
    """Models and the registry of their versions."""

    @hookspec
    @lineage(reads=("run",), writes=("result",))
    def mlops_log_model(self, run: RunRecord, name: str, model: Any, example: Any) -> ModelRecord:
        """Store a fitted model as the output of a run.

        :param run: the run that made it.
        :param name: what it is called on the run.
        :param model: the fitted model.
        :param example: a few input rows, from which the signature is inferred.
        :raises UnsupportedError: the tool has no way to store this kind of model.
        """
        raise NotImplementedError

    @hookspec
    @lineage(reads=("model",), writes=("result",))
    def mlops_register_model(
        self, model: ModelRecord, name: str, labels: Mapping[str, str]
    ) -> ModelVersionRecord:
        """Make a logged model the next version of a registered model.

        :param model: the logged model.
        :param name: the registered model's name.
        :param labels: labels of the version.
        """
        raise NotImplementedError

    @hookspec
    @lineage.none("looks up what is there")
    def mlops_get_model(self, name: str, version: str) -> ModelVersionRecord:
        """Return one version of a registered model.

        :param name: the registered model's name.
        :param version: a version number or an alias.
        :raises NotFoundError: no such model, version or alias.
        """
        raise NotImplementedError

    @hookspec
    @lineage.none("looks up what is there")
    def mlops_list_models(self, name: str) -> Sequence[ModelVersionRecord]:
        """Return the versions of a registered model, oldest first.

        :param name: the registered model's name.
        :raises NotFoundError: no such model.
        """
        raise NotImplementedError

    @hookspec
    @lineage.none("a name for a version; which version it named when is the registry's to say")
    def mlops_update_model(
        self, model: ModelVersionRecord, aliases: Sequence[str], labels: Mapping[str, str]
    ) -> ModelVersionRecord:
        """Move aliases to a version and add labels to it.

        :param model: the version.
        :param aliases: aliases to point at it, taken from any other version that has them.
        :param labels: labels to add or replace.
        """
        raise NotImplementedError

    @hookspec
    @lineage.none("a model in memory has no identity beyond its record's")
    def mlops_load_model(self, model: Ref) -> Any:
        """Return the model, ready to `predict(frame)`.

        :param model: the ref of a logged model or of a version.
        :raises NotFoundError: it is gone.
        """
        raise NotImplementedError


class FeatureHooks:
    """Feature views, their history and their online values."""

    @hookspec
    @lineage.none("definitions; which source a view reads is collected from the registry")
    def mlops_apply_features(self) -> Sequence[FeatureViewRecord]:
        """Bring the store in line with its definitions, and return the views by name."""
        raise NotImplementedError

    @hookspec
    @lineage.none("looks up what is there")
    def mlops_list_features(self) -> Sequence[FeatureViewRecord]:
        """Return the feature views by name."""
        raise NotImplementedError

    @hookspec
    @lineage(reads=("views",), writes=("result",))
    def mlops_read_history(
        self,
        views: Sequence[FeatureViewRecord],
        features: Sequence[str],
        entities: Any,
        destination: Path,
    ) -> DatasetRecord:
        """Write a point-in-time correct training set to a parquet file.

        :param views: the views that the features belong to.
        :param features: `view:feature`, which become columns `view__feature` after the entities',
            in this order.
        :param entities: a DataFrame of entity keys and `event_timestamp`, any other column kept;
            every row comes back once, in order, with NULL where nothing was known at its time.
        :param destination: the file to write; its folder is made.
        :raises NotFoundError: a feature that no view has.
        """
        raise NotImplementedError

    @hookspec
    @lineage(reads=("views",))
    def mlops_read_online(
        self,
        views: Sequence[FeatureViewRecord],
        features: Sequence[str],
        entities: Sequence[Row],
    ) -> Sequence[Row]:
        """Return the newest materialised values, a row for each entity, in order.

        :param views: the views that the features belong to.
        :param features: `view:feature`; each row holds them in this order, by feature name.
        :param entities: the keys of each entity by column name.
        :raises NotFoundError: a feature that no view has.
        """
        raise NotImplementedError

    @hookspec
    @lineage(reads=("views",), writes=("result",))
    def mlops_materialize_features(
        self, views: Sequence[FeatureViewRecord], start: datetime, end: datetime
    ) -> MaterializationRecord:
        """Copy the newest values with event times in [start, end) to the online store.

        :param views: the views to copy.
        :param start: from when, with a time zone.
        :param end: until when, with a time zone.
        """
        raise NotImplementedError


class EndpointHooks:
    """Endpoints: models that answer, behind a traffic split."""

    @hookspec
    @lineage.none("an endpoint without a model moves nothing")
    def mlops_create_endpoint(self, name: str) -> EndpointRecord:
        """Create an endpoint without models.

        :param name: its name.
        :raises AlreadyExistsError: the name is taken.
        """
        raise NotImplementedError

    @hookspec
    @lineage.none("looks up what is there")
    def mlops_list_endpoints(self) -> Sequence[EndpointRecord]:
        """Return the endpoints by name."""
        raise NotImplementedError

    @hookspec
    @lineage(writes=("result",))
    def mlops_deploy_model(
        self, endpoint: EndpointRecord, model: ModelVersionRecord, split: Mapping[str, int]
    ) -> EndpointRecord:
        """Add a model version to an endpoint and set the traffic of all of them.

        The record's `edges` say since when each model is on the endpoint.

        :param endpoint: the endpoint.
        :param model: the version.
        :param split: percentages by deployment id that sum to 100; `"0"` is the new one.
        :raises ArgumentError: they do not, or name another deployment.
        """
        raise NotImplementedError

    @hookspec
    @lineage(writes=("result",))
    def mlops_undeploy_model(
        self, endpoint: EndpointRecord, deployment: str, split: Mapping[str, int]
    ) -> EndpointRecord:
        """Take a deployment off an endpoint and set the traffic of the others.

        The record's `edges` say from when to when each model was on the endpoint.

        :param endpoint: the endpoint.
        :param deployment: the deployment's id.
        :param split: percentages by deployment id that sum to 100, empty where none is left.
        :raises NotFoundError: no such deployment.
        """
        raise NotImplementedError

    @hookspec
    @lineage(writes=("result",))
    def mlops_predict(
        self,
        endpoint: EndpointRecord,
        instances: Sequence[Row],
        load: Callable[[Ref], Any],
    ) -> PredictionRecord:
        """Answer by one of the endpoint's models, drawn by the traffic split; log the call.

        :param endpoint: the endpoint.
        :param instances: a row for each answer wanted.
        :param load: returns the model of a ref, with `predict(frame)`.
        """
        raise NotImplementedError

    @hookspec
    @lineage.none("a way in; every prediction through it is recorded")
    def mlops_serve_endpoint(
        self,
        endpoint: EndpointRecord,
        predict: Callable[[Sequence[Row]], PredictionRecord],
        host: str,
        port: int,
    ) -> ServerRecord:
        """Answer `POST /v1/endpoints/<name>:predict` over HTTP, in Vertex's JSON.

        :param endpoint: the endpoint.
        :param predict: what to call with the request's instances.
        :param host: the address to bind.
        :param port: the port to bind; 0 takes a free one.
        """
        raise NotImplementedError


class MonitorHooks:
    """Monitoring: how far data has moved from the data a model was trained on."""

    @hookspec
    @lineage(reads=("subject", "reference", "current"), writes=("result",))
    def mlops_run_monitor(
        self,
        monitor: str,
        subject: Record,
        reference: DatasetRecord,
        current: DatasetRecord,
        thresholds: Mapping[str, float],
    ) -> ReportRecord:
        """Compare two datasets column by column and keep the report.

        :param monitor: the monitor's name.
        :param subject: the model version or endpoint that is watched.
        :param reference: what it was trained on.
        :param current: what it meets now.
        :param thresholds: the columns to compare and the score above which each one alerts.
        """
        raise NotImplementedError

    @hookspec
    @lineage.none("looks up what is there")
    def mlops_list_reports(self, monitor: str) -> Sequence[ReportRecord]:
        """Return the reports of a monitor, oldest first.

        :param monitor: the monitor's name.
        """
        raise NotImplementedError


class PipelineHooks:
    """Pipeline definitions, and whole pipelines that a server runs."""

    @hookspec
    @lineage.none("a definition; its runs are recorded task by task")
    def mlops_load_pipeline(self, template: Any) -> PipelineRecord:
        """Read a pipeline, compiling it where it is a function.

        :param template: a pipeline function, or the path or address of a compiled file or package.
        :raises ArgumentError: it is neither.
        """
        raise NotImplementedError

    @hookspec
    @lineage(reads=("pipeline",), writes=("result",))
    def mlops_submit_pipeline(self, pipeline: PipelineRecord, job: JobRequest) -> PipelineJobRecord:
        """Hand a pipeline to a server that runs it, and do not wait.

        :param pipeline: the compiled pipeline, sent as it is.
        :param job: how to run it.
        :raises ArgumentError: a parameter is unknown, missing or nothing that the server can hold.
        :raises UnsupportedError: the server cannot run it as asked; nothing was sent.
        :raises AlreadyExistsError: the server has a job of that name.
        """
        raise NotImplementedError

    @hookspec
    @lineage.none("looks up what is there; the server's own record is collected")
    def mlops_get_pipeline_job(self, job: Ref) -> PipelineJobRecord:
        """Return a job as it is now, with its tasks.

        :param job: the ref of a submitted job.
        :raises NotFoundError: the server has no such job.
        """
        raise NotImplementedError

    @hookspec
    @lineage.none("looks up what is there")
    def mlops_list_pipeline_jobs(self, name: str) -> Sequence[PipelineJobRecord]:
        """Return the jobs of the server, oldest first, without their tasks.

        :param name: the job's id that is looked for; empty for all.
        """
        raise NotImplementedError

    @hookspec
    @lineage.none("a change of state moves nothing")
    def mlops_cancel_pipeline_job(self, job: Ref) -> PipelineJobRecord:
        """Ask the server to stop a job, and return it as it is then; one that has ended stays.

        :param job: the ref of a submitted job.
        :raises NotFoundError: the server has no such job.
        """
        raise NotImplementedError

    @hookspec
    @lineage.none("what it had read and written stays in the graph")
    def mlops_delete_pipeline_job(self, job: Ref) -> None:
        """Delete the server's record of a job that has ended.

        :param job: the ref of a submitted job.
        :raises NotFoundError: the server has no such job.
        :raises ArgumentError: it has not ended.
        """


class TaskHooks:
    """Pipeline tasks: running one component."""

    @hookspec
    @lineage(writes=("result",))
    def mlops_run_task(self, task: TaskRequest) -> TaskRecord:
        """Run a component in a process of its own and wait for it.

        :param task: what to run. A component that fails answers with state FAILED; the answer
            has the request's ref, and in `log` the text that the component wrote.
        :raises UnsupportedError: this kind of executor cannot be run here.
        """
        raise NotImplementedError

    @hookspec
    @lineage.none("what the task had read and written is told by its record")
    def mlops_cancel_task(self, task: TaskRequest) -> bool:
        """Stop a task that `mlops_run_task` is running, with every process it started.

        The call that is running it answers with state CANCELLED.

        :param task: the request that was given to `mlops_run_task`.
        :returns: whether it was running.
        """
        raise NotImplementedError

    @hookspec
    @lineage.none("looks at definitions; nothing runs")
    def mlops_check_task(self, runner: Ref, executor: Mapping[str, Any]) -> str:
        """Say whether this kind of executor can be run here, before any task of a job runs.

        :param runner: the job, which says by which plugin its tasks are run.
        :param executor: the executor of a compiled component.
        :returns: why not, and what to do about it; empty where it can.
        """
        raise NotImplementedError


class JobHooks:
    """Clusters and the jobs they run."""

    @hookspec
    @lineage.none("a place to compute")
    def mlops_create_cluster(self, cpus: int) -> ClusterRecord:
        """Start a cluster on this machine, on loopback only.

        :param cpus: how many CPUs it offers.
        """
        raise NotImplementedError

    @hookspec
    @lineage.none("a place to compute")
    def mlops_delete_cluster(self, cluster: ClusterRecord) -> ClusterRecord:
        """Stop a cluster that this process started, and no other.

        :param cluster: the cluster.
        """
        raise NotImplementedError

    @hookspec
    @lineage.none("each trial is a run, and is recorded as one")
    def mlops_run_tuning(
        self,
        address: str | None,
        objective: Callable[[Mapping[str, Scalar]], Mapping[str, float]],
        trials: Sequence[Mapping[str, Scalar]],
        parallel: int,
        report: Callable[[Trial], None],
        environment: Mapping[str, str],
    ) -> TuningRecord:
        """Call an objective once for each set of parameters, several at a time.

        :param address: the cluster's address; None takes the configured one.
        :param objective: returns the metrics of one set of parameters; runs on the cluster.
        :param trials: the sets of parameters.
        :param parallel: how many trials run at once.
        :param report: called here with each trial as it ends.
        :param environment: variables to add while the objective runs.
        """
        raise NotImplementedError


class LineageHooks:
    """What the tools themselves know of where things came from."""

    @hookspec
    @lineage.none("reads what was recorded; the graph is what it is collected into")
    def mlops_collect_lineage(self, cursor: str | None) -> Collection:
        """Read the tool's own store for what has been recorded since the cursor.

        A store that is not there tells nothing, and is not made.

        :param cursor: what the last collection returned; None for everything.
        :raises BackendError: the store is locked, half-written, of a newer schema, or away.
        """
        raise NotImplementedError


class PluginHooks:
    """Plugins themselves."""

    @hookspec
    @lineage.none("describes the plugin")
    def mlops_check_plugin(self) -> Check:
        """Say which tool this is, its version, where its store is and what is wrong with it."""
        raise NotImplementedError

    @hookspec
    @lineage.none("describes the plugin")
    def mlops_describe_ui(self) -> UI:
        """Say how to open the tool's own page on this workspace."""
        raise NotImplementedError

    @hookspec
    @lineage.none("hands out the tool's own object; what is done with it is the tool's record")
    def mlops_get_native(self, ref: Ref) -> Any:
        """Return the tool's own object behind a ref.

        :param ref: what the plugin answered with before.
        """
        raise NotImplementedError


NOUNS: Mapping[str, type] = {
    "run": RunHooks,
    "model": ModelHooks,
    "feature": FeatureHooks,
    "endpoint": EndpointHooks,
    "monitor": MonitorHooks,
    "pipeline": PipelineHooks,
    "task": TaskHooks,
    "job": JobHooks,
    "lineage": LineageHooks,
    "plugin": PluginHooks,
}
"""The noun that `[providers]` routes by, and its hooks."""


class Hooks(
    RunHooks,
    ModelHooks,
    FeatureHooks,
    EndpointHooks,
    MonitorHooks,
    PipelineHooks,
    TaskHooks,
    JobHooks,
    LineageHooks,
    PluginHooks,
):
    """All hooks: what a session speaks, and what a plugin may override."""


SPECS: Mapping[str, Callable[..., Any]] = {
    name: spec
    for noun in NOUNS.values()
    for name, spec in vars(noun).items()
    if name.startswith("mlops_")
}
"""Every hook specification by name."""

NOUN_OF: Mapping[str, str] = {
    name: noun for noun, hooks in NOUNS.items() for name in SPECS if hasattr(hooks, name)
}
"""The noun of each hook."""
