"""The memory plugin passes the conformance kit without deviations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from unified_mlops.hookspecs import SPECS
from unified_mlops.records import FeatureViewRecord, Metric, Ref, RunRecord
from unified_mlops.testing import Conformance, MemoryPlugin
from unified_mlops.testing.conformance import STANDARD
from unified_mlops.testing.memory.endpoints import MemoryEndpoints
from unified_mlops.testing.memory.lineage import MemoryLineage
from unified_mlops.testing.memory.models import MemoryModels
from unified_mlops.testing.memory.monitors import MemoryMonitors
from unified_mlops.testing.memory.runs import MemoryRuns


class TestMemory(Conformance):
    plugin_class = MemoryPlugin

    def prepare_features(self, plugin: Any, workspace: Path, rows: Any) -> None:
        view = FeatureViewRecord(
            ref=Ref("memory", "feature_view", "driver_stats", "memory:feature_view/driver_stats"),
            name="driver_stats",
            entities=("driver_id",),
            features=("trips", "rating", "city"),
            source="file:///data/driver_stats.parquet",
        )
        plugin.define(view, rows)

    def read_metrics(self, plugin: Any, run: RunRecord) -> list[Metric]:
        return list(plugin.series[run.ref.uri])

    def read_artifact(self, plugin: Any, run: RunRecord, name: str) -> bytes:
        return bytes(plugin.artifacts[run.ref.uri, name])


class TestSharedWorkspace(Conformance):
    """One plugin for all tests, as one does where making a store is slow."""

    class Several(MemoryRuns, MemoryModels, MemoryEndpoints, MemoryMonitors, MemoryLineage):
        pass

    plugin_class = Several
    shared = Several(Path("nowhere"))

    @pytest.fixture
    def plugin(self) -> Several:
        return self.shared


def test_it_overrides_every_hook() -> None:
    assert [hook for hook, spec in SPECS.items() if getattr(MemoryPlugin, hook) is spec] == []


def test_every_hook_has_a_standard_test() -> None:
    tested = {name.removeprefix("test_").partition("__")[0] for name in STANDARD}
    assert [hook for hook in SPECS if hook.removeprefix("mlops_") not in tested] == []
