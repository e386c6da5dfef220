"""A thousand metrics, durable, on SQLite."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

from benchmarks.measure import Result, wall_of


def metrics_1000() -> Result:
    """`log_time_series_metrics` and a flush beside `MlflowClient.log_metric`, both on SQLite."""
    import unified_mlops as umlops

    with tempfile.TemporaryDirectory() as folder:
        session = umlops.Session(umlops.Config(workspace=Path(folder), experiment="bench"))
        run = umlops.ExperimentRun.create("ours", session=session)
        steps = itertools.count()

        def ours() -> None:
            for _ in range(1000):
                run.log_time_series_metrics({"loss": 0.5}, step=next(steps))
            run.flush()

        from mlflow import MlflowClient

        client = MlflowClient(f"sqlite:///{folder}/mlflow/mlflow.db")
        run_id = run.record.ref.id

        def native() -> None:
            for _ in range(1000):
                client.log_metric(run_id, "native", 0.5, step=next(steps))

        return Result(
            "metrics_1000", wall_of(ours, 3), wall_of(native, 1), "log_metric, 1000 times"
        )
