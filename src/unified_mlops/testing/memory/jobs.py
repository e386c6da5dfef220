"""Clusters that are names, and tuning on threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager

from unified_mlops.errors import NotFoundError
from unified_mlops.hookspecs import JobHooks
from unified_mlops.records import ClusterRecord, Scalar, Trial, TuningRecord
from unified_mlops.testing.memory.store import PLUGIN, Store, missing

CLUSTERS: dict[str, ClusterRecord] = {}
"""The clusters of this process, by URN: they outlive the plugin that started them."""

Objective = Callable[[Mapping[str, Scalar]], Mapping[str, float]]


class MemoryJobs(Store, JobHooks):
    """Work on the threads of this process."""

    def mlops_create_cluster(self, cpus: int) -> ClusterRecord:
        """Give a cluster a name."""
        ref = self._ref("cluster")
        record = ClusterRecord(ref=ref, address=f"{PLUGIN}://{ref.id}")
        CLUSTERS[ref.uri] = record
        return self._keep(record, f"{cpus} threads")

    def mlops_delete_cluster(self, cluster: ClusterRecord) -> ClusterRecord:
        """Forget a cluster of this process."""
        if CLUSTERS.pop(cluster.ref.uri, None) is None:
            raise NotFoundError(
                f"cluster {cluster.address!r} was not started here",
                hint="stop it where it was started",
            )
        return cluster

    def mlops_run_tuning(
        self,
        address: str | None,
        objective: Objective,
        trials: Sequence[Mapping[str, Scalar]],
        parallel: int,
        report: Callable[[Trial], None],
        environment: Mapping[str, str],
    ) -> TuningRecord:
        """Try each set of parameters; the trials are reported here as they end."""
        clusters = [cluster.address for cluster in CLUSTERS.values()]
        if address is not None and address not in clusters:
            raise missing(f"no cluster at {address!r}", clusters)
        done: dict[int, Trial] = {}
        with _added(environment), ThreadPoolExecutor(parallel) as pool:
            for future in as_completed(
                pool.submit(_try, objective, number, params) for number, params in enumerate(trials)
            ):
                trial = future.result()
                done[trial.number] = trial
                report(trial)
        ordered = tuple(done[number] for number in sorted(done))
        return self._keep(TuningRecord(ref=self._ref("job"), trials=ordered), "tuning")


@contextmanager
def _added(environment: Mapping[str, str]) -> Iterator[None]:
    """Variables that this process has for a while: its threads are the cluster."""
    before = {key: os.environ.get(key) for key in environment}
    os.environ.update(environment)
    try:
        yield
    finally:
        for key, value in before.items():
            os.environ.pop(key)
            if value is not None:
                os.environ[key] = value


def _try(objective: Objective, number: int, params: Mapping[str, Scalar]) -> Trial:
    try:
        metrics = dict(objective(params))
    except Exception as error:  # noqa: BLE001 - an objective may fail in any way; that is a result
        return Trial(number, params, {}, "FAILED", error=f"{type(error).__name__}: {error}")
    return Trial(number, params, metrics, "COMPLETE", history=(metrics,))
