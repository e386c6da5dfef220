"""The standard tests of every plugin."""

from pathlib import Path

import pytest

from unified_mlops.records import Metric
from unified_mlops.testing import Conformance
from unified_mlops_mlflow.plugin import MlflowPlugin


class TestMlflow(Conformance):
    plugin_class = MlflowPlugin

    @pytest.fixture
    def workspace(self, shared):
        return shared

    def read_metrics(self, plugin, run):
        with plugin._store.open() as client:
            keys = client.get_run(run.ref.id).data.metrics
            return [
                Metric(key, point.value, point.step, point.timestamp / 1000)
                for key in keys
                for point in client.get_metric_history(run.ref.id, key)
            ]

    def read_artifact(self, plugin, run, name):
        with plugin._store.open() as client:
            return Path(client.download_artifacts(run.ref.id, name)).read_bytes()
