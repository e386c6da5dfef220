"""Plugins of runs and models that each break one thing: run by `test_kit.py` through pytester."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from unified_mlops.hookspecs import RunHooks
from unified_mlops.records import (
    Collection,
    Metric,
    ModelVersionRecord,
    RunRecord,
    Scalar,
    State,
)
from unified_mlops.testing import Conformance
from unified_mlops.testing.memory.lineage import MemoryLineage
from unified_mlops.testing.memory.models import MemoryModels
from unified_mlops.testing.memory.runs import MemoryRuns

# --- runs ---


class ForgetsTypes(MemoryRuns):
    def mlops_log_params(self, run: RunRecord, params: Mapping[str, Scalar]) -> None:
        super().mlops_log_params(run, {key: str(value) for key, value in params.items()})


class TestForgetsTypes(Conformance):
    plugin_class = ForgetsTypes


class AcceptsUsedNames(MemoryRuns):
    def mlops_create_run(
        self, experiment: str, name: str, parent: RunRecord | None, tags: Mapping[str, str]
    ) -> RunRecord:
        run = super().mlops_create_run(experiment, uuid.uuid4().hex, parent, tags)
        return self._keep(replace(run, name=name), name)


class TestAcceptsUsedNames(Conformance):
    plugin_class = AcceptsUsedNames


class NaiveTimes(MemoryRuns):
    def mlops_update_run(self, run: RunRecord, state: State, tags: Mapping[str, str]) -> RunRecord:
        answer = super().mlops_update_run(run, state, tags)
        return replace(answer, end_time=answer.end_time and datetime.now())


class TestNaiveTimes(Conformance):
    plugin_class = NaiveTimes


class HalfWrites(MemoryRuns):
    def mlops_log_metrics(self, run: RunRecord, metrics: Sequence[Metric]) -> None:
        for metric in metrics:
            super().mlops_log_metrics(run, [metric])


class TestHalfWrites(Conformance):
    plugin_class = HalfWrites


class KeepsOnlyTheLastStep(RunHooks):
    def __init__(self, workspace: Path) -> None:
        self.last: dict[str, Metric] = {}

    def mlops_log_metrics(self, run: RunRecord, metrics: Sequence[Metric]) -> None:
        self.last.update({metric.key: metric for metric in metrics})


class TestKeepsOnlyTheLastStep(Conformance):
    plugin_class = KeepsOnlyTheLastStep

    def read_metrics(self, plugin: Any, run: RunRecord) -> list[Metric]:
        return list(plugin.last.values())


class HasADefault(RunHooks):
    def __init__(self, workspace: Path) -> None:
        pass

    def mlops_log_artifact(self, run: RunRecord, path: Path, folder: str = "") -> None:
        pass


class TestHasADefault(Conformance):
    plugin_class = HasADefault


class CallsEveryRunTheSame(MemoryRuns):
    def mlops_export_run(self, run: RunRecord) -> Mapping[str, str]:
        return {"MEMORY_RUN": run.name[:0]}


class TestCallsEveryRunTheSame(Conformance):
    plugin_class = CallsEveryRunTheSame


# --- models ---


class NeverMovesAnAlias(MemoryModels):
    def mlops_update_model(
        self, model: ModelVersionRecord, aliases: Sequence[str], labels: Mapping[str, str]
    ) -> ModelVersionRecord:
        held = self.aliases.get(model.name, {})
        return super().mlops_update_model(model, [a for a in aliases if a not in held], labels)


class TestNeverMovesAnAlias(Conformance):
    plugin_class = type("Models", (NeverMovesAnAlias, MemoryRuns), {})


# --- lineage ---


class TellsItDifferently(MemoryRuns, MemoryLineage):
    def mlops_collect_lineage(self, cursor: str | None) -> Collection:
        found = super().mlops_collect_lineage(cursor)
        return replace(
            found,
            observations=[replace(seen, key=uuid.uuid4().hex) for seen in found.observations],
        )


class TestTellsItDifferently(Conformance):
    plugin_class = TellsItDifferently


class IgnoresItsCursor(MemoryRuns, MemoryLineage):
    def mlops_collect_lineage(self, cursor: str | None) -> Collection:
        return super().mlops_collect_lineage(None)


class TestIgnoresItsCursor(Conformance):
    plugin_class = IgnoresItsCursor


class TurnsEdgesRound(MemoryRuns, MemoryLineage):
    def mlops_collect_lineage(self, cursor: str | None) -> Collection:
        found = super().mlops_collect_lineage(cursor)
        turned = [
            replace(
                seen,
                edges=tuple(replace(e, source=e.target, target=e.source) for e in seen.edges),
            )
            for seen in found.observations
        ]
        return replace(found, observations=turned)


class TestTurnsEdgesRound(Conformance):
    plugin_class = TurnsEdgesRound


# --- deviations, and hooks that are not overridden ---


class TestDeviates(Conformance):
    plugin_class = ForgetsTypes
    deviations: ClassVar[Mapping[str, str]] = {
        "test_log_params__keeps_types_and_text": "params are text",
        "test_log_params__merges_and_overwrites": "params are text",
        "test_update_run__answers_with_params_and_metrics": "params are text",
    }


class TestDeviatesNoMore(Conformance):
    plugin_class = MemoryRuns
    deviations: ClassVar[Mapping[str, str]] = {
        "test_log_params__keeps_types_and_text": "params were text"
    }


class Listens(RunHooks):
    def __init__(self, workspace: Path) -> None:
        self.heard: list[Metric] = []

    def mlops_log_metrics(self, metrics: Sequence[Metric]) -> None:  # type: ignore[override]
        self.heard.extend(metrics)


class TestListens(Conformance):
    plugin_class = Listens

    def read_metrics(self, plugin: Any, run: RunRecord) -> list[Metric]:
        return list(plugin.heard)
