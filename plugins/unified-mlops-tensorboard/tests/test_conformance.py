"""The standard tests of every plugin."""

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from unified_mlops.records import Metric
from unified_mlops.testing import Conformance
from unified_mlops_tensorboard.plugin import TensorboardPlugin


class TestTensorboard(Conformance):
    plugin_class = TensorboardPlugin

    def read_metrics(self, plugin, run):
        accumulator = EventAccumulator(str(plugin._folder(run)), size_guidance={"scalars": 0})
        accumulator.Reload()
        return [
            Metric(tag, point.value, point.step, point.wall_time)
            for tag in accumulator.Tags()["scalars"]
            for point in accumulator.Scalars(tag)
        ]
