"""Tuning on the memory plugin, whose cluster is this process."""

import os
from collections.abc import Mapping

import pytest

import unified_mlops as umlops
from unified_mlops.records import Scalar

pytestmark = pytest.mark.usefixtures("session")


def test_a_trial_has_the_variables_of_the_run_that_is_tuned() -> None:
    seen = []

    def objective(params: Mapping[str, Scalar]) -> dict[str, float]:
        seen.append(os.environ["MEMORY_RUN"])
        return {"loss": float(params["x"])}

    job = umlops.HyperparameterTuningJob(
        "x", objective=objective, metric_spec={"loss": "minimize"}, parameter_spec={"x": [2, 1]}
    )
    with umlops.start_run("tuning") as run:
        assert job.run(run).params == {"x": 1}
    assert seen == [run.uri, run.uri]
    assert "MEMORY_RUN" not in os.environ
