"""A collection pass with nothing new, over stores that hold something."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.features import write_repo
from benchmarks.measure import Result, wall_of

RUNS = 200


def lineage_collect_idle() -> Result:
    """A pass of all collectors beside asking MLflow and Feast for what they hold."""
    import unified_mlops as umlops

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_repo(folder)
        session = umlops.Session(umlops.Config(workspace=folder, experiment="bench"))
        umlops.FeatureStore(session=session).apply()
        for number in range(RUNS):
            with umlops.start_run(f"run {number}", session=session) as run:
                run.log_params({"n": number})
        assert not session.lineage.collect()
        ours = wall_of(session.lineage.collect, 9)
        session.close()
        return Result("lineage_collect_idle", ours, _native(folder), "listing runs and views")


def _native(folder: Path) -> float:
    from feast import FeatureStore
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/mlflow/mlflow.db")
    ids = [each.experiment_id for each in client.search_experiments()]

    def ask() -> None:
        assert len(client.search_runs(ids, max_results=1000)) == RUNS
        client.search_model_versions()
        assert FeatureStore(repo_path=str(folder / "feature_repo")).list_feature_views()

    return wall_of(ask, 3)
