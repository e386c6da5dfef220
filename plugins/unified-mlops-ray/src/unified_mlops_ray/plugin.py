"""The hooks that Ray serves: clusters, tuning, tasks, and endpoints in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from unified_mlops.errors import UnsupportedError
from unified_mlops.hookspecs import (
    EndpointHooks,
    JobHooks,
    LineageHooks,
    PluginHooks,
    TaskHooks,
)
from unified_mlops.records import (
    Check,
    ClusterRecord,
    Collection,
    EndpointRecord,
    ModelVersionRecord,
    PredictionRecord,
    Ref,
    Row,
    Scalar,
    ServerRecord,
    TaskRecord,
    TaskRequest,
    Trial,
    TuningRecord,
)
from unified_mlops_ray import capture, connect, http, tasks, tuning
from unified_mlops_ray import cluster as clusters
from unified_mlops_ray.collect import Collector
from unified_mlops_ray.endpoints import Endpoints


class RayPlugin(TaskHooks, JobHooks, EndpointHooks, LineageHooks, PluginHooks):
    """Ray, which is never started unless a cluster is asked for.

    Args:
        workspace: the session's folder.
        address: the cluster of tuning and tasks that name none, and of the jobs to collect.
        endpoints: the folder of the endpoints; `endpoints` in the workspace where empty.
        dashboard: the URL of the cluster's dashboard; the address tells it where left out.
    """

    def __init__(
        self,
        workspace: Path,
        address: str | None = None,
        endpoints: str = "",
        dashboard: str | None = None,
    ) -> None:
        self._address = address or None
        self._tasks = tasks.Tasks(self._address)
        self._workspace = workspace
        folder = Path(endpoints).expanduser().absolute() if endpoints else workspace / "endpoints"
        self._endpoints = Endpoints(folder)
        data = workspace / "ray" / "data"
        self._collector = Collector(self._endpoints, data, dashboard or None, self._address)

    def mlops_run_task(self, task: TaskRequest) -> TaskRecord:
        """Run a lightweight KFP component in a Ray worker."""
        return self._tasks.run(task)

    def mlops_cancel_task(self, task: TaskRequest) -> bool:
        """Kill a task's worker, with the processes that it started."""
        return self._tasks.cancel(task)

    def mlops_check_task(self, runner: Ref, executor: Mapping[str, Any]) -> str:  # noqa: ARG002
        """Say that containers cannot be run here."""
        return tasks.check(executor)

    def mlops_create_cluster(self, cpus: int) -> ClusterRecord:
        """Start a cluster on loopback, in a child process."""
        return clusters.start(cpus)

    def mlops_delete_cluster(self, cluster: ClusterRecord) -> ClusterRecord:
        """Stop a cluster that this process started."""
        return clusters.stop(cluster)

    def mlops_run_tuning(
        self,
        address: str | None,
        objective: Callable[[Mapping[str, Scalar]], Mapping[str, float]],
        trials: Sequence[Mapping[str, Scalar]],
        parallel: int,
        report: Callable[[Trial], None],
        environment: Mapping[str, str],
    ) -> TuningRecord:
        """Call an objective on the cluster for each set of parameters."""
        added = {capture.WORKSPACE: str(self._workspace), **environment}
        return tuning.tune(address or self._address, objective, trials, parallel, report, added)

    def mlops_create_endpoint(self, name: str) -> EndpointRecord:
        """Create an endpoint's file."""
        return self._endpoints.create(name)

    def mlops_list_endpoints(self) -> Sequence[EndpointRecord]:
        """Read the endpoints' files."""
        return [self._endpoints.get(name) for name in self._endpoints.names()]

    def mlops_deploy_model(
        self, endpoint: EndpointRecord, model: ModelVersionRecord, split: Mapping[str, int]
    ) -> EndpointRecord:
        """Write a deployment and the traffic into the endpoint's file."""
        return self._endpoints.deploy(endpoint.name, model, split)

    def mlops_undeploy_model(
        self, endpoint: EndpointRecord, deployment: str, split: Mapping[str, int]
    ) -> EndpointRecord:
        """Take a deployment out of the endpoint's file."""
        return self._endpoints.undeploy(endpoint.name, deployment, split)

    def mlops_predict(
        self,
        endpoint: EndpointRecord,
        instances: Sequence[Row],
        load: Callable[[Ref], Any],
    ) -> PredictionRecord:
        """Answer in this process, and log the call."""
        return self._endpoints.predict(endpoint.name, instances, load)

    def mlops_serve_endpoint(
        self,
        endpoint: EndpointRecord,
        predict: Callable[[Sequence[Row]], PredictionRecord],
        host: str,
        port: int,
    ) -> ServerRecord:
        """Answer over HTTP from a thread of this process."""
        name = endpoint.name
        return http.serve(endpoint, predict, lambda: self._endpoints.get(name), host, port)

    def mlops_collect_lineage(self, cursor: str | None) -> Collection:
        """Read the endpoints' files, Ray Data's logs, and a cluster's jobs and applications."""
        return self._collector.collect(cursor)

    def mlops_check_plugin(self) -> Check:
        """Say which Ray this is, and whether the configured cluster answers."""
        problem = connect.probe(self._address) if self._address else ""
        location = self._address or str(self._endpoints.folder)
        return Check("ray", "Ray", version("ray"), location, problem)

    def mlops_get_native(self, ref: Ref) -> Any:
        """Return an endpoint's file as plain values."""
        if ref.kind != "endpoint":
            raise UnsupportedError(
                f"Ray keeps no object of a {ref.kind}", hint="import ray, and ray.init(address=...)"
            )
        return self._endpoints.load(ref.id)
