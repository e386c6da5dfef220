"""The standard tests of every plugin."""

import os

import pytest

from unified_mlops.testing import Conformance
from unified_mlops_ray.plugin import RayPlugin


class TestRay(Conformance):
    plugin_class = RayPlugin

    def make_plugin(self, workspace):
        return RayPlugin(workspace, address=os.environ.get("RAY_ADDRESS"))

    @pytest.fixture
    def cluster(self, started, monkeypatch):
        return started

    @pytest.fixture(autouse=True)
    def reachable(self, request, monkeypatch):
        """Tasks and tuning run on a cluster that the environment names, as in plain Ray."""
        if "run_task" in request.node.name or "cancel_task" in request.node.name:
            monkeypatch.setenv("RAY_ADDRESS", request.getfixturevalue("started").address)
