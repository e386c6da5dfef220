"""What the author of a plugin tests it with; needs pytest.

A plugin's whole conformance test:

    from unified_mlops.testing import Conformance

    class TestMyPlugin(Conformance):
        plugin_class = MyPlugin
        deviations = {"test_update_run__reopens_a_run": "the tool seals a run that has ended"}

`MemoryPlugin` has every hook, in memory; a second plugin in a test, or an oracle.
"""

import pytest

pytest.register_assert_rewrite("unified_mlops.testing.conformance")  # before it is imported

from unified_mlops.testing.conformance import Conformance  # noqa: E402
from unified_mlops.testing.memory import MemoryPlugin  # noqa: E402

__all__ = ["Conformance", "MemoryPlugin"]
