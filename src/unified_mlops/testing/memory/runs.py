"""Experiment runs in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import get_args

from unified_mlops.errors import AlreadyExistsError, ArgumentError, ArgumentTypeError
from unified_mlops.hookspecs import RunHooks
from unified_mlops.records import DatasetRecord, Edge, Metric, Node, RunRecord, Scalar, State
from unified_mlops.testing.memory.store import Store, missing

FINAL = frozenset({"COMPLETE", "FAILED", "CACHED", "CANCELLED"})


class MemoryRuns(Store, RunHooks):
    """Runs of its own, and whatever it is told of the runs of others."""

    def __init__(self, workspace: Path) -> None:
        super().__init__(workspace)
        self.params: dict[str, dict[str, Scalar]] = {}
        self.series: dict[str, list[Metric]] = {}
        self.artifacts: dict[tuple[str, str], bytes] = {}

    def mlops_create_run(
        self, experiment: str, name: str, parent: RunRecord | None, tags: Mapping[str, str]
    ) -> RunRecord:
        """Create a run."""
        if any(run.experiment == experiment and run.name == name for run in self._all(RunRecord)):
            raise AlreadyExistsError(
                f"experiment {experiment!r} has a run {name!r}",
                hint="choose another name, or resume that run",
            )
        run = RunRecord(
            ref=self._ref("run"),
            name=name,
            experiment=experiment,
            state="RUNNING",
            tags=dict(tags),
            start_time=_now(),
            parent=parent.name if parent else None,
        )
        edges = [Edge(parent.ref.uri, "PARENT_OF", run.ref.uri)] if parent else []
        return self._keep(run, name, edges)

    def mlops_get_run(self, experiment: str, name: str) -> RunRecord:
        """Return a run."""
        runs = self.mlops_list_runs(experiment)
        for run in runs:
            if run.name == name:
                return run
        raise missing(f"no run {name!r} in {experiment!r}", [run.name for run in runs])

    def mlops_list_runs(self, experiment: str) -> Sequence[RunRecord]:
        """Return the runs of an experiment."""
        runs = [self._read(run) for run in self._all(RunRecord) if run.experiment == experiment]
        if not runs:
            known = dict.fromkeys(run.experiment for run in self._all(RunRecord))
            raise missing(f"no experiment {experiment!r}", known)
        return runs

    def mlops_update_run(self, run: RunRecord, state: State, tags: Mapping[str, str]) -> RunRecord:
        """Set a run's state and add tags."""
        if state not in get_args(State):
            raise ArgumentError(f"no state {state!r}", hint=f"one of: {get_args(State)}")
        old = self._find(RunRecord, run.ref)
        end = _now() if state in FINAL else None
        new = replace(old, state=state, end_time=end, tags={**old.tags, **tags})
        return self._read(self._keep(new, new.name))

    def mlops_log_params(self, run: RunRecord, params: Mapping[str, Scalar]) -> None:
        """Record parameters."""
        self.params.setdefault(run.ref.uri, {}).update(params)

    def mlops_log_metrics(self, run: RunRecord, metrics: Sequence[Metric]) -> None:
        """Record values, once all of them are seen to be numbers."""
        for metric in metrics:
            if not isinstance(metric.value, int | float):
                raise ArgumentTypeError(
                    f"metric {metric.key!r} is {metric.value!r}, which is no number",
                    hint="log a float",
                )
        self.series.setdefault(run.ref.uri, []).extend(metrics)

    def mlops_log_input(self, run: RunRecord, dataset: DatasetRecord, context: str) -> None:
        """Record that a run read a dataset."""
        edge = Edge(dataset.ref.uri, "INPUT", run.ref.uri, rule=context)
        node = Node(dataset.ref.uri, dataset.ref.kind, dataset.name)
        self._observe(run.ref, run.name, [edge], [node])

    def mlops_log_artifact(self, run: RunRecord, path: Path, folder: str) -> None:
        """Keep a copy of a file."""
        name = f"{folder}/{path.name}" if folder else path.name
        self.artifacts[run.ref.uri, name] = path.read_bytes()

    def mlops_export_run(self, run: RunRecord) -> Mapping[str, str]:
        """Name the run, for a library that there is none of."""
        return {"MEMORY_RUN": self._find(RunRecord, run.ref).ref.uri}

    def _read(self, run: RunRecord) -> RunRecord:
        """The run with what was logged to it; the last value is that of the largest step."""
        last: dict[str, Metric] = {}
        for metric in self.series.get(run.ref.uri, []):
            old = last.setdefault(metric.key, metric)
            if (metric.step, metric.time) >= (old.step, old.time):
                last[metric.key] = metric
        metrics = {key: metric.value for key, metric in last.items()}
        return replace(run, params=dict(self.params.get(run.ref.uri, {})), metrics=metrics)


def _now() -> datetime:
    return datetime.now(timezone.utc)
