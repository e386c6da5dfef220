"""The standard tests of every plugin."""

from functools import partial
from uuid import uuid4

import pytest

from unified_mlops.config import Config
from unified_mlops.pipelines.runner import Runner
from unified_mlops.session import Session
from unified_mlops.testing import Conformance
from unified_mlops_kfp.plugin import KfpPlugin


class Silent:
    def task_started(self, name):
        return {}

    def task_finished(self, name, record):
        pass


def run(plugin, workspace, pipeline):
    """Run a pipeline, and return the refs of its tasks."""
    session = Session(Config(workspace=workspace), plugins={"kfp": lambda workspace: plugin})
    result = Runner(
        session,
        plugin.mlops_load_pipeline(pipeline),
        job_id=uuid4().hex,
        root=plugin.root,
        parameters={"x": 1},
        provider="kfp",
        observe=Silent(),
    ).run()
    return [task.ref for task in result.tasks.values()]


class TestKfp(Conformance):
    plugin_class = KfpPlugin

    @pytest.fixture
    def work(self, plugin, workspace, pipeline):
        return partial(run, plugin, workspace, pipeline)
