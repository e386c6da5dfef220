"""The standard tests of every plugin."""

from functools import partial

import pytest

from unified_mlops.config import Config
from unified_mlops.resources.pipelines import PipelineJob
from unified_mlops.session import Session
from unified_mlops.testing import Conformance
from unified_mlops_kfp.plugin import KfpPlugin


def run(workspace, pipeline):
    """Run a pipeline, and return the refs of its tasks."""
    session = Session(Config(workspace=workspace))
    job = PipelineJob("conformance", pipeline, parameter_values={"x": 1}, session=session)
    job.run()
    return [task.ref for task in job.task_details.values()]


class TestKfp(Conformance):
    plugin_class = KfpPlugin

    @pytest.fixture
    def plugin(self, workspace, host, monkeypatch):
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        return KfpPlugin(workspace=workspace, endpoint=f"http://{host}")

    @pytest.fixture
    def work(self, workspace, pipeline):
        return partial(run, workspace, pipeline)
