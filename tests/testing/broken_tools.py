"""Plugins of other nouns that each break one thing: run by `test_kit.py` through pytester."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from unified_mlops.records import (
    DatasetRecord,
    Deployment,
    Edge,
    EndpointRecord,
    FeatureViewRecord,
    Record,
    Ref,
    ReportRecord,
    Row,
    Scalar,
    TaskRecord,
    TaskRequest,
    Trial,
    TuningRecord,
)
from unified_mlops.testing import Conformance
from unified_mlops.testing.memory.endpoints import MemoryEndpoints
from unified_mlops.testing.memory.features import MemoryFeatures
from unified_mlops.testing.memory.jobs import MemoryJobs, Objective
from unified_mlops.testing.memory.lineage import MemoryLineage
from unified_mlops.testing.memory.monitors import MemoryMonitors
from unified_mlops.testing.memory.pipelines import MemoryPipelines

# --- features ---


class Features(Conformance):
    plugin_class = MemoryFeatures

    def prepare_features(self, plugin: Any, workspace: Path, rows: Any) -> None:
        view = FeatureViewRecord(
            ref=Ref("memory", "feature_view", "driver_stats", "memory:feature_view/driver_stats"),
            name="driver_stats",
            entities=("driver_id",),
            features=("trips", "rating", "city"),
            source="file:///data/driver_stats.parquet",
        )
        plugin.define(view, rows)


class LosesDuplicates(MemoryFeatures):
    def mlops_read_history(
        self,
        views: Sequence[FeatureViewRecord],
        features: Sequence[str],
        entities: Any,
        destination: Path,
    ) -> DatasetRecord:
        once = entities.drop_duplicates(ignore_index=True)
        return super().mlops_read_history(views, features, once, destination)


class TestLosesDuplicates(Features):
    plugin_class = LosesDuplicates


class KnowsTheFuture(MemoryFeatures):
    def _newest(self, view: FeatureViewRecord, entity: Row) -> Row | None:
        later = entity["event_timestamp"].replace(hour=23)
        return super()._newest(view, {**entity, "event_timestamp": later})


class TestKnowsTheFuture(Features):
    plugin_class = KnowsTheFuture


class ReordersOnline(MemoryFeatures):
    def mlops_read_online(
        self,
        views: Sequence[FeatureViewRecord],
        features: Sequence[str],
        entities: Sequence[Row],
    ) -> Sequence[Row]:
        rows = super().mlops_read_online(views, features, entities)
        return [dict(sorted(row.items())) for row in rows]


class TestReordersOnline(Features):
    plugin_class = ReordersOnline


# --- endpoints ---


class TakesAnySplit(MemoryEndpoints):
    def _route(
        self,
        old: EndpointRecord,
        deployments: Sequence[Deployment],
        split: Mapping[str, int],
        edges: tuple[Edge, ...],
    ) -> EndpointRecord:
        shared = tuple(replace(held, traffic=split.get(held.id, 0)) for held in deployments)
        return self._keep(replace(old, deployments=shared, edges=edges), old.name)


class TestTakesAnySplit(Conformance):
    plugin_class = TakesAnySplit


class KeepsNoTimes(MemoryEndpoints):
    def _keep(self, record: Any, name: str, edges: Iterable[Edge] = ()) -> Any:
        timeless = tuple(replace(edge, since=None, until=None) for edge in record.edges)
        return super()._keep(replace(record, edges=timeless), name, edges)


class TestKeepsNoTimes(Conformance):
    plugin_class = KeepsNoTimes


# --- monitors ---


class IgnoresZero(MemoryMonitors):
    def mlops_run_monitor(
        self,
        monitor: str,
        subject: Record,
        reference: DatasetRecord,
        current: DatasetRecord,
        thresholds: Mapping[str, float],
    ) -> ReportRecord:
        limits = {key: value or 0.3 for key, value in thresholds.items()}
        return super().mlops_run_monitor(monitor, subject, reference, current, limits)


class TestIgnoresZero(Conformance):
    plugin_class = IgnoresZero


class SpellsUrnsItsOwnWay(MemoryMonitors):
    def _ref(self, kind: str, name: str | None = None) -> Ref:
        ref = super()._ref(kind, name)
        return replace(ref, uri=ref.uri.replace("memory:", "Memory:"))


class TestSpellsUrnsItsOwnWay(Conformance):
    plugin_class = SpellsUrnsItsOwnWay


# --- tasks and jobs ---


class RaisesForATask(MemoryPipelines):
    def mlops_run_task(self, task: TaskRequest) -> TaskRecord:
        record = super().mlops_run_task(task)
        if record.state == "FAILED":
            raise RuntimeError(record.error)
        return record


class TestRaisesForATask(Conformance):
    plugin_class = RaisesForATask


class LetsItRun(MemoryPipelines):
    def mlops_cancel_task(self, task: TaskRequest) -> bool:
        child = self._children.get(task.folder)
        if child:
            self._stopped.add(task.folder)
            child.kill()  # and not what it started
        return child is not None


class TestLetsItRun(Conformance):
    plugin_class = LetsItRun


class AlwaysSaysItStopped(MemoryPipelines):
    def mlops_cancel_task(self, task: TaskRequest) -> bool:
        super().mlops_cancel_task(task)
        return True


class TestAlwaysSaysItStopped(Conformance):
    plugin_class = AlwaysSaysItStopped


class TakesAnything(MemoryPipelines):
    def mlops_check_task(self, runner: Ref, executor: Mapping[str, Any]) -> str:
        return ""


class TestTakesAnything(Conformance):
    plugin_class = TakesAnything


class StopsAtAFailedTrial(MemoryJobs):
    def mlops_run_tuning(
        self,
        address: str | None,
        objective: Objective,
        trials: Sequence[Mapping[str, Scalar]],
        parallel: int,
        report: Callable[[Trial], None],
        environment: Mapping[str, str],
    ) -> TuningRecord:
        def stop(trial: Trial) -> None:
            report(trial)
            if trial.state == "FAILED":
                raise RuntimeError(trial.error)

        return super().mlops_run_tuning(address, objective, trials, parallel, stop, environment)


class TestStopsAtAFailedTrial(Conformance):
    plugin_class = StopsAtAFailedTrial


class ForgetsTheVariables(MemoryJobs):
    def mlops_run_tuning(
        self,
        address: str | None,
        objective: Objective,
        trials: Sequence[Mapping[str, Scalar]],
        parallel: int,
        report: Callable[[Trial], None],
        environment: Mapping[str, str],
    ) -> TuningRecord:
        return super().mlops_run_tuning(address, objective, trials, parallel, report, {})


class TestForgetsTheVariables(Conformance):
    plugin_class = ForgetsTheVariables


class AnswersForAnother(MemoryMonitors, MemoryLineage):
    def mlops_list_reports(self, monitor: str) -> Sequence[ReportRecord]:
        reports = super().mlops_list_reports(monitor)
        return [replace(found, ref=replace(found.ref, plugin="mlflow")) for found in reports]


class TestAnswersForAnother(Conformance):
    plugin_class = AnswersForAnother
