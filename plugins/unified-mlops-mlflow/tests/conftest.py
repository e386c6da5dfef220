from __future__ import annotations

import shutil
import threading
from pathlib import Path
from uuid import uuid4

import pytest

from unified_mlops.lineage import urn
from unified_mlops.records import DatasetRecord, Ref, RunRecord
from unified_mlops_mlflow.plugin import MlflowPlugin


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One workspace for the tests that only add to it: MLflow takes 3 s to make a database."""
    workspace = tmp_path_factory.mktemp("work space")
    with MlflowPlugin(workspace)._store.open():
        shutil.copy(workspace / "mlflow" / "mlflow.db", workspace / "blank.db")
    return workspace


@pytest.fixture(scope="session")
def plugin(shared: Path) -> MlflowPlugin:
    return MlflowPlugin(shared)


@pytest.fixture
def fresh(shared: Path, tmp_path: Path) -> MlflowPlugin:
    """A plugin on an empty store of its own."""
    home = tmp_path / "fresh" / "mlflow"
    home.mkdir(parents=True)
    shutil.copy(shared / "blank.db", home / "mlflow.db")
    return MlflowPlugin(home.parent)


@pytest.fixture
def client(plugin: MlflowPlugin, shared: Path):
    """Plain MLflow on the same store."""
    from mlflow import MlflowClient

    with plugin._store.open():
        return MlflowClient(f"sqlite:///{shared}/mlflow/mlflow.db")


@pytest.fixture
def name() -> str:
    return f"größe-{uuid4().hex[:8]}"


@pytest.fixture
def run(plugin: MlflowPlugin, name: str) -> RunRecord:
    return plugin.mlops_create_run(name, "lauf", None, {})


@pytest.fixture
def dataset(tmp_path: Path):
    import pandas as pd

    def write(file: str = "frame.parquet", columns=None) -> DatasetRecord:
        path = tmp_path / file
        path.parent.mkdir(exist_ok=True)
        pd.DataFrame({"a": [1.0, 2.0], "b": [1, 2]}).to_parquet(path)
        uri = urn.canonical(path)
        ref = Ref("other", "dataset", uri, uri)
        return DatasetRecord(ref=ref, name="frame", columns=columns or {"a": (), "b": ()}, rows=2)

    return write


@pytest.fixture
def native(fresh: MlflowPlugin, monkeypatch: pytest.MonkeyPatch):
    """Plain MLflow, bound to a store of its own."""
    import mlflow
    from mlflow.tracking import fluent

    before = mlflow.get_tracking_uri()
    monkeypatch.setattr(fluent, "_active_experiment_id", None)
    for variable in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID"):
        monkeypatch.setenv(variable, "")
    mlflow.set_tracking_uri(fresh._store.uri)
    mlflow.set_experiment(experiment_id="0")
    yield mlflow
    while mlflow.active_run():
        mlflow.end_run()
    mlflow.clear_active_model()
    mlflow.set_tracking_uri(before)


@pytest.fixture
def server(fresh: MlflowPlugin, monkeypatch: pytest.MonkeyPatch):
    """MLflow's own server on the fresh store."""
    from mlflow.server import app, handlers
    from werkzeug.serving import make_server

    for store in ("_tracking_store", "_model_registry_store"):
        monkeypatch.setattr(handlers, store, None)
    handlers.initialize_backend_stores(fresh._store.uri, default_artifact_root="served")
    serving = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=serving.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{serving.server_port}"
    serving.shutdown()
    thread.join()
