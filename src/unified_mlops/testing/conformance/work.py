"""Something new in a plugin's own store, by whichever hooks it overrides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from unified_mlops.records import Metric, Ref
from unified_mlops.testing.conformance.checks import overrides
from unified_mlops.testing.conformance.features import MIDNIGHT
from unified_mlops.testing.conformance.kit import FOREIGN_RUN, foreign_version

Maker = Callable[[pytest.FixtureRequest], list[Ref]]
Work = Callable[[], list[Ref]]


def do_all(request: pytest.FixtureRequest, plugin: type) -> list[Ref]:
    """Do one new thing for each noun, and return the refs of what the plugin holds of it.

    Args:
        request: gives the fixtures of the test, where they are needed.
        plugin: the plugin's class.
    """
    makers = [make for hook, make in _MAKERS.items() if overrides(plugin, hook)]
    if overrides(plugin, "mlops_log_metrics") and _run not in makers:
        makers.append(_listen)
    if not makers:
        pytest.skip("override the fixture `work` to have this tested")
    return [ref for make in makers for ref in make(request)]


def _run(request: pytest.FixtureRequest) -> list[Ref]:
    hooks, name, dataset, plugin = map(
        request.getfixturevalue, ("hooks", "name", "dataset", "plugin")
    )
    run = hooks.mlops_create_run(experiment=name, name=uuid4().hex, parent=None, tags={})
    if overrides(type(plugin), "mlops_log_input"):
        data = dataset(uuid4().hex, {"x": [1, 2, 3]})
        hooks.mlops_log_input(run=run, dataset=data, context="training")
    return [run.ref]


def _listen(request: pytest.FixtureRequest) -> list[Ref]:
    key = uuid4().hex
    run = replace(FOREIGN_RUN, name=key, ref=Ref("other", "run", key, f"mlflow:run/{key}"))
    metrics = [Metric("loss", 0.5, step, 1e9 + step) for step in range(3)]
    request.getfixturevalue("hooks").mlops_log_metrics(run=run, metrics=metrics)
    return []


def _register(request: pytest.FixtureRequest) -> list[Ref]:
    hooks, logged, name = map(request.getfixturevalue, ("hooks", "logged_model", "name"))
    version = hooks.mlops_register_model(model=logged, name=name, labels={})
    return [logged.ref, version.ref]


def _materialize(request: pytest.FixtureRequest) -> list[Ref]:
    hooks, views = map(request.getfixturevalue, ("hooks", "feature_views"))
    start = MIDNIGHT - timedelta(seconds=uuid4().int % 80_000)  # a window of its own
    done = hooks.mlops_materialize_features(
        views=views, start=start, end=MIDNIGHT + timedelta(days=1)
    )
    return [*(view.ref for view in views), done.ref]


def _endpoint(request: pytest.FixtureRequest) -> list[Ref]:
    hooks = request.getfixturevalue("hooks")
    return [hooks.mlops_create_endpoint(name=uuid4().hex).ref]


def _monitor(request: pytest.FixtureRequest) -> list[Ref]:
    hooks, name, dataset = map(request.getfixturevalue, ("hooks", "name", "dataset"))
    report = hooks.mlops_run_monitor(
        monitor=name,
        subject=foreign_version("delay", "1"),
        reference=dataset("before", {"x": [0.0, 1.0, 2.0] * 20}),
        current=dataset("after", {"x": [7.0, 8.0, 9.0] * 20}),
        thresholds={"x": 0.1},
    )
    return [report.ref, *(alert.ref for alert in report.alerts)]


_MAKERS: Mapping[str, Maker] = {
    "mlops_create_run": _run,
    "mlops_register_model": _register,
    "mlops_materialize_features": _materialize,
    "mlops_create_endpoint": _endpoint,
    "mlops_run_monitor": _monitor,
}
