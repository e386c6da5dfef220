"""What MLflow's own records say of where things came from."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from unified_mlops.records import Collection, Node, Observation
from unified_mlops_mlflow import glance, hygiene, registry, runs, traces
from unified_mlops_mlflow.collect_models import Models
from unified_mlops_mlflow.collect_registry import Memory, RegistryReader
from unified_mlops_mlflow.collect_runs import RunReader, is_over
from unified_mlops_mlflow.convert import experiment_uri
from unified_mlops_mlflow.cursor import Cursor

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

    from unified_mlops_mlflow.store import Store

OVERLAP = 60_000
"""Milliseconds that are read twice: the clocks of the machines that write records may differ."""
ALL = 3
"""MLflow's `ViewType.ALL`: what was deleted still happened."""
OPEN = 2**62
"""Stands for the time of the last change of what still goes on."""


def collect(store: Store, cursor: str | None) -> Collection:
    """Read what was recorded since the cursor; a store that is not there stays so.

    Args:
        store: a database or a server.
        cursor: what the last collection returned.

    Raises:
        BackendError: the store cannot be read, or is no MLflow store of the installed version.
    """
    seen, began = Cursor.load(cursor), time.time()
    mark = glance.mark(store.file) if store.file else ""
    if mark and mark == seen.glance:
        return Collection((), replace(seen, looked=began).dump())
    with store.open_existing() as client:
        if client is None:
            return Collection((), None)
        store.ping()
        instance = store.instance(client)
        seen = seen if seen.store == instance else Cursor(instance)
        added, rows = glance.added(store.file, seen.rows) if store.file else (set(), {})
        given = glance.given_models(store.file) if store.file else None
        look = _Look(client, instance, seen, added, given, store.memory)
        found = list(look.records())
        observations, told = _untold(found, seen, round(began * 1000) - OVERLAP)
        after = replace(
            look.registry.seen(),
            since=round(began * 1000) - OVERLAP,
            looked=began,
            glance=mark,
            rows=rows,
            told=told,
        )
        return Collection([*observations, *look.registry.moved()], after.dump())


class _Look:
    """Reads what has changed since the last look.

    Args:
        client: of the store.
        instance: the store's short name.
        seen: the cursor.
        added: runs that are known to have changed.
        given: runs that have models as inputs; None: nobody knows.
        memory: what this process knows of aliases.
    """

    def __init__(
        self,
        client: MlflowClient,
        instance: str,
        seen: Cursor,
        added: Iterable[str],
        given: set[str] | None,
        memory: Memory,
    ) -> None:
        self._client = client
        self._instance = instance
        self._since = seen.since
        self._added = added
        self._given = given
        self._models = Models(client, instance)
        self._experiments: list[Experiment] = registry.pages(
            client.search_experiments, view_type=ALL
        )
        self.registry = RegistryReader(client, instance, self._models, seen, memory)

    def records(self) -> Iterator[tuple[Observation, int]]:
        """Observations, each with the milliseconds of its record's last change."""
        ids = [each.experiment_id for each in self._experiments]
        for experiment in self._experiments:
            at = experiment.last_update_time or experiment.creation_time or 0
            if at >= self._since:
                yield self._experiment(experiment, at), at
        given: dict[str, int] = {}
        for model in self._models.changed(ids, self._since):
            at = model.last_updated_timestamp or model.creation_timestamp
            yield self._models.observe(model), at
            if model.source_run_id:
                given[model.source_run_id] = max(at, given.get(model.source_run_id, 0))
        for run in self._runs(ids, given):
            reader = RunReader(self._client, run, self._instance, self._models)
            times = (run.info.start_time, run.info.end_time or 0, given.get(run.info.run_id, 0))
            yield reader.observe(), max(times) if is_over(run) else OPEN
        yield from self.registry.changed()
        for trace in traces.changed(self._client, ids, self._since):
            at = trace.request_time + (trace.execution_duration or 0)
            yield traces.observe(trace, self._instance), at

    def _experiment(self, experiment: Experiment, at: int) -> Observation:
        uri = experiment_uri(self._instance, experiment.experiment_id)
        made = experiment.creation_time / 1000 if experiment.creation_time else None
        node = Node(uri, "experiment", hygiene.clean(experiment.name), time=made)
        return Observation(uri, (node,), time=at / 1000)

    def _runs(self, experiments: Sequence[str], given: Iterable[str]) -> Iterator[Run]:
        """Runs that were started, ended, added to or given a model; and all that still go on."""
        since = self._since
        filters = [f"attributes.start_time >= {since}"]
        if since:
            filters.append(f"attributes.end_time >= {since}")
            filters += [f"attributes.status = '{status}'" for status in ("RUNNING", "SCHEDULED")]
        found = (runs.search(self._client, experiments, each, ALL) for each in filters)
        seen: set[str] = set()
        for run in chain.from_iterable(found):
            if run.info.run_id not in seen:
                seen.add(run.info.run_id)
                whole = self._given is not None and run.info.run_id not in self._given
                yield run if whole else self._client.get_run(run.info.run_id)
        for run_id in sorted({*given, *self._added} - seen):
            yield from runs.existing(self._client, run_id)


def _untold(
    found: Iterable[tuple[Observation, int]], seen: Cursor, since: int
) -> tuple[list[Observation], dict[str, str]]:
    """What has not been told yet, and the marks of what will be read again.

    Args:
        found: observations with the times of their records.
        seen: the cursor.
        since: from when on records will be read next time.
    """
    untold, told = [], {}
    for observation, at in found:
        mark = hashlib.sha256(repr(observation).encode()).hexdigest()[:12]
        if seen.told.get(observation.key) != mark:
            untold.append(observation)
        if seen.since or at >= since:
            told[observation.key] = mark
    return untold, told
