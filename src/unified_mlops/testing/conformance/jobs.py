"""Standard tests of clusters and tuning."""

# ruff: noqa: D102 - the name of a test says what it sees to

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from unified_mlops.hookspecs import Hooks
from unified_mlops.records import ClusterRecord, Scalar, Trial, TuningRecord
from unified_mlops.testing.conformance.checks import check_record, needs, overrides, refused
from unified_mlops.testing.conformance.kit import Caller, Kit

LOOPBACK = ("http://127.0.0.1", "http://localhost", "http://[::1]", "127.0.0.1", "localhost")

VARIABLE = "UNIFIED_MLOPS_CONFORMANCE"


class JobConformance(Kit):
    """`JobHooks`: clusters and tuning. A started cluster serves all tests of a class."""

    @pytest.fixture(scope="class")
    @classmethod
    def cluster(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterRecord | None]:
        """A cluster of the plugin's, None where it starts none."""
        if not overrides(cls.plugin_class, "mlops_create_cluster"):
            yield None
            return
        hooks: Any = Caller(cls().make_plugin(tmp_path_factory.mktemp("cluster") / "workspace"))
        cluster = hooks.mlops_create_cluster(cpus=2)
        yield cluster
        if overrides(cls.plugin_class, "mlops_delete_cluster"):
            hooks.mlops_delete_cluster(cluster=cluster)

    @pytest.fixture
    def address(self, cluster: ClusterRecord | None) -> str | None:
        """The cluster that tuning runs on; None leaves it to the plugin's settings."""
        return cluster.address if cluster else None

    # --- delete_cluster, create_cluster ---

    @needs("create_cluster")
    def test_delete_cluster__stops_what_it_started_and_only_once(self, hooks: Hooks) -> None:
        cluster = hooks.mlops_create_cluster(cpus=1)
        gone = hooks.mlops_delete_cluster(cluster=cluster)
        check_record(gone, ClusterRecord, "cluster")
        assert gone.ref == cluster.ref
        with refused():
            hooks.mlops_delete_cluster(cluster=cluster)

    @needs("create_cluster")
    def test_delete_cluster__refuses_a_cluster_of_others(
        self, hooks: Hooks, cluster: ClusterRecord
    ) -> None:
        ref = replace(cluster.ref, id=f"{cluster.ref.id}0", uri=f"{cluster.ref.uri}0")
        with refused():
            hooks.mlops_delete_cluster(cluster=replace(cluster, ref=ref, address="127.0.0.1:1"))

    def test_create_cluster__answers_with_an_address_on_this_machine(
        self, cluster: ClusterRecord
    ) -> None:
        check_record(cluster, ClusterRecord, "cluster")
        assert cluster.address and "0.0.0.0" not in cluster.address
        if cluster.dashboard is not None:
            assert cluster.dashboard.startswith(LOOPBACK)

    # --- run_tuning ---

    def test_run_tuning__answers_in_the_order_of_the_trials(
        self, hooks: Hooks, address: str | None
    ) -> None:
        trials: list[dict[str, Scalar]] = [{"x": x, "name": "größe"} for x in (3, 1, 2)]
        record, reported = _tune(hooks, address, trials, parallel=2)
        check_record(record, TuningRecord, "job")
        assert [trial.params for trial in record.trials] == trials
        assert [trial.metrics["square"] for trial in record.trials] == [9, 1, 4]
        assert {trial.state for trial in record.trials} == {"COMPLETE"}
        numbers = [trial.number for trial in record.trials]
        assert numbers == sorted(set(numbers))
        assert sorted(reported, key=lambda trial: trial.number) == list(record.trials)

    def test_run_tuning__goes_on_after_a_trial_that_fails(
        self, hooks: Hooks, address: str | None
    ) -> None:
        trials: list[dict[str, Scalar]] = [{"x": x} for x in (1, -1, 2)]
        record, reported = _tune(hooks, address, trials, parallel=1)
        assert [trial.state for trial in record.trials] == ["COMPLETE", "FAILED", "COMPLETE"]
        failed = record.trials[1]
        assert "x is negative" in failed.error and not failed.metrics
        assert len(reported) == 3 and record.trials[2].metrics["square"] == 4

    def test_run_tuning__runs_no_more_trials_at_once_than_asked(
        self, hooks: Hooks, address: str | None
    ) -> None:
        trials: list[dict[str, Scalar]] = [{"x": x, "pause": 0.1} for x in range(4)]
        record, _ = _tune(hooks, address, trials, parallel=2)
        spans = [(trial.metrics["start"], trial.metrics["end"]) for trial in record.trials]
        at_once = [sum(s <= start < e for s, e in spans) for start, _ in spans]
        assert max(at_once) <= 2

    def test_run_tuning__reports_each_trial_where_it_was_asked(
        self, hooks: Hooks, address: str | None
    ) -> None:
        reported: list[tuple[float, int]] = []

        def report(trial: Trial) -> None:
            reported.append((trial.metrics["square"], threading.get_ident()))

        hooks.mlops_run_tuning(
            address=address,
            objective=square,
            trials=[{"x": 1}, {"x": 2}],
            parallel=2,
            report=report,
            environment={},
        )
        here = threading.get_ident()
        assert sorted(reported) == [(1, here), (4, here)]

    def test_run_tuning__adds_the_variables_while_the_objective_runs(
        self, hooks: Hooks, address: str | None
    ) -> None:
        trials: list[dict[str, Scalar]] = [{"variable": VARIABLE}] * 2
        reported: list[Trial] = []
        for given, there in ({VARIABLE: "größe 1"}, 1), ({}, 0):
            record = hooks.mlops_run_tuning(
                address=address,
                objective=is_set,
                trials=trials,
                parallel=1,
                report=reported.append,
                environment=given,
            )
            assert [trial.metrics["there"] for trial in record.trials] == [there] * 2
        assert VARIABLE not in os.environ


def is_set(params: Mapping[str, Scalar]) -> dict[str, float]:
    """An objective: whether a variable holds what it was given."""
    return {"there": os.environ.get(str(params["variable"])) == "größe 1"}


def square(params: Mapping[str, Scalar]) -> dict[str, float]:
    """An objective: squares `x`, refuses one below zero, and says when it ran."""
    start = time.time()
    x = float(params["x"])
    if x < 0:
        raise ValueError("x is negative")
    time.sleep(float(params.get("pause", 0)))
    return {"square": x * x, "start": start, "end": time.time()}


def _tune(
    hooks: Hooks, address: str | None, trials: list[dict[str, Scalar]], *, parallel: int
) -> tuple[TuningRecord, list[Trial]]:
    reported: list[Trial] = []
    record = hooks.mlops_run_tuning(
        address=address,
        objective=square,
        trials=trials,
        parallel=parallel,
        report=reported.append,
        environment={},
    )
    return record, reported
