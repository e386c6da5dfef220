"""The standard tests of every plugin."""

from unified_mlops.testing import Conformance
from unified_mlops_evidently.plugin import EvidentlyPlugin


class TestEvidently(Conformance):
    plugin_class = EvidentlyPlugin
