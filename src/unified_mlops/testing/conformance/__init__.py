"""The standard tests as one class: what a plugin must do to pass for one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

import pytest

from unified_mlops.testing.conformance.checks import hooks_of, overrides
from unified_mlops.testing.conformance.endpoints import EndpointConformance
from unified_mlops.testing.conformance.features import FeatureConformance
from unified_mlops.testing.conformance.jobs import JobConformance
from unified_mlops.testing.conformance.models import ModelConformance
from unified_mlops.testing.conformance.monitors import MonitorConformance
from unified_mlops.testing.conformance.pipeline_jobs import PipelineJobConformance
from unified_mlops.testing.conformance.pipelines import PipelineConformance
from unified_mlops.testing.conformance.plugins import PluginConformance
from unified_mlops.testing.conformance.runs import RunConformance

__all__ = ["STANDARD", "Conformance"]


class Conformance(
    RunConformance,
    ModelConformance,
    FeatureConformance,
    EndpointConformance,
    MonitorConformance,
    PipelineConformance,
    PipelineJobConformance,
    JobConformance,
    PluginConformance,
):
    """Base of a plugin's tests: set `plugin_class`, and pytest collects what applies to it.

    A test belongs to the hook in its name, `test_<hook>__<behaviour>`, and is collected where the
    plugin overrides that hook and those by which the test reads back. Fixtures and the methods of
    `Kit` may be overridden, tests may not: what a plugin does otherwise stands in `deviations`,
    the test's name and the reason, and is expected to fail.

    Raises:
        TypeError: no `plugin_class`, a standard test that is overridden, or a deviation from no
            test that applies.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not isinstance(getattr(cls, "plugin_class", None), type):
            raise TypeError(f"{cls.__name__} needs plugin_class = <the plugin's class>")
        for name in STANDARD.keys() & vars(cls).keys():
            raise TypeError(
                f"{cls.__name__} overrides the standard test {name!r}; "
                f"write deviations = {{{name!r}: 'why'}} instead"
            )
        tests = {name: _applies(cls.plugin_class, name) for name in STANDARD}
        for name in cls.deviations:
            if not tests.get(name):
                raise TypeError(f"{cls.__name__} deviates from {name!r}, which does not apply")
        for name, applies in tests.items():
            setattr(cls, name, _collected(name, cls.deviations) if applies else None)


STANDARD: Mapping[str, FunctionType] = {
    name: test
    for part in Conformance.__bases__
    for name, test in vars(part).items()
    if name.startswith("test_")
}
"""Every standard test by name."""


def _applies(plugin: type, name: str) -> bool:
    return all(overrides(plugin, hook) for hook in hooks_of(name, STANDARD[name]))


def _collected(name: str, deviations: Mapping[str, str]) -> Callable[..., object]:
    """The test itself, or a copy that is expected to fail."""
    test = STANDARD[name]
    if name not in deviations:
        return test
    copy = FunctionType(test.__code__, test.__globals__, name, test.__defaults__, test.__closure__)
    copy.__dict__.update(vars(test))
    return pytest.mark.xfail(reason=deviations[name], strict=True)(copy)
