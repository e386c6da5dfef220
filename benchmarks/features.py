"""Ten features of one entity, read online inside a run, with lineage."""

from __future__ import annotations

import os
import tempfile
from datetime import datetime, timezone
from pathlib import Path

from benchmarks.measure import Result, wall_of

DEFINITIONS = """
from datetime import timedelta
from feast import Entity, FeatureView, Field, FileSource
from feast.types import Float64
key = Entity(name="key", join_keys=["key"])
source = FileSource(name="source", path="{path}", timestamp_field="event_timestamp")
view = FeatureView(
    name="view", entities=[key], ttl=timedelta(days=9), source=source,
    schema=[Field(name=f"f{{i}}", dtype=Float64) for i in range(10)],
)
"""
FEATURES = [f"view:f{i}" for i in range(10)]
EVERY_READ_LOGGED = "\nmlflow:\n  enabled: true\n  auto_log: true\n  tracking_uri: {uri}\n"


def online_read_in_run() -> Result:
    """Our read with its lineage beside Feast's own read with its own MLflow link."""
    import unified_mlops as umlops

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_repo(folder)
        session = umlops.Session(umlops.Config(workspace=folder, experiment="bench"))
        store = umlops.FeatureStore(session=session)
        store.apply()
        store.sync(datetime(2024, 1, 1), datetime(2024, 1, 3))
        with umlops.start_run("ours", session=session):
            ours = wall_of(lambda: store.fetch_feature_values(FEATURES, [{"key": 7}]), 200)
        return Result(
            "online_read_in_run", ours, _native(folder), "Feast with its mlflow: auto_log"
        )


def _native(folder: Path) -> float:
    import mlflow
    from feast import FeatureStore

    uri = f"sqlite:///{folder}/mlflow/mlflow.db"
    settings = folder / "feature_repo/feature_store.yaml"
    settings.write_text(settings.read_text() + EVERY_READ_LOGGED.format(uri=uri))
    store = FeatureStore(repo_path=str(settings.parent))
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("bench")
    with mlflow.start_run():
        return wall_of(lambda: store.get_online_features(FEATURES, [{"key": 7}]).to_dict(), 50)


def write_repo(folder: Path) -> None:
    """A Feast repo with one view of ten features, and its source."""
    import pandas as pd

    os.environ.setdefault("FEAST_USAGE", "False")
    repo = folder / "feature_repo"
    repo.mkdir()
    path = folder / "source.parquet"
    frame = pd.DataFrame({"key": range(100), **{f"f{i}": float(i) for i in range(10)}})
    frame["event_timestamp"] = datetime(2024, 1, 2, tzinfo=timezone.utc)
    frame.to_parquet(path)
    (repo / "definitions.py").write_text(DEFINITIONS.format(path=path))
