"""The tools as their own users have them: MLflow on SQLite, Feast repos, and their commands."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.stories.lineage.feast_repo import FeastRepo
from tests.stories.lineage.scenario import Truth

from unified_mlops.config import Config
from unified_mlops.lineage.urn import canonical
from unified_mlops.session import Session

QUIET = {
    **{"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "FEAST_USAGE": "False"},
    **{"RAY_USAGE_STATS_ENABLED": "0", "GIT_PYTHON_REFRESH": "quiet"},
}
_HIDE = """\
import importlib.metadata as metadata

_all = metadata.entry_points


def entry_points(**which):
    found = _all(**which)
    if not which:  # Python 3.10 and 3.11 answer with another class
        return found
    return metadata.EntryPoints(e for e in found if not e.value.startswith("unified_mlops"))


metadata.entry_points = entry_points
"""
"""A `sitecustomize` that makes a process as if our package were not installed."""


def blank_database(path: Path) -> Path:
    """An empty MLflow database, made by MLflow."""
    os.environ.update(QUIET)
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    SqlAlchemyStore(f"sqlite:///{path}", str(path.parent / "artifacts")).engine.dispose()
    return path


def without_us(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make MLflow in this process as if our package were not installed."""
    from mlflow.data.dataset_source_registry import _dataset_source_registry as sources
    from mlflow.tracking.context.registry import _run_context_provider_registry as contexts

    def theirs(provider: Any) -> bool:
        kind = provider if isinstance(provider, type) else type(provider)
        return not kind.__module__.startswith("unified_mlops")

    monkeypatch.setattr(contexts, "_registry", [p for p in contexts._registry if theirs(p)])
    monkeypatch.setattr(sources, "sources", [p for p in sources.sources if theirs(p)])


class Bench:
    """A folder in which tools are used natively, and a session that reads their stores.

    Args:
        folder: where everything lies; our workspace is a folder of it that only we touch.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.uri = f"sqlite:///{folder / 'mlflow.db'}"
        self.plugins: dict[str, Mapping[str, Any]] = {"mlflow": {"tracking_uri": self.uri}}
        self.lineage: dict[str, Any] = {}

    # --- ours ------------------------------------------------------------------------------

    def session(self) -> Session:
        """A session that reads the tools' stores where they are."""
        workspace = self.folder / "workspace"
        return Session(Config(workspace=workspace, plugins=self.plugins, lineage=self.lineage))

    def collect(self) -> Session:
        """A session that has collected; no collector may fail."""
        session = self.session()
        assert session.lineage.collect() == {}
        return session

    # --- MLflow ----------------------------------------------------------------------------

    @contextmanager
    def mlflow(self) -> Iterator[None]:
        """Let MLflow's global calls of this process write here."""
        import mlflow

        mlflow.set_tracking_uri(self.uri)
        mlflow.set_registry_uri(self.uri)
        mlflow.set_experiment("Default")
        try:
            yield
        finally:
            while mlflow.active_run():
                mlflow.end_run()
            mlflow.autolog(disable=True)
            mlflow.set_tracking_uri(None)
            mlflow.set_registry_uri("")
            mlflow.tracking.fluent._active_experiment_id = None
            for name in ("MLFLOW_EXPERIMENT_ID", "MLFLOW_REGISTRY_URI"):
                os.environ.pop(name, None)

    @property
    def registry(self) -> str:
        """The URN of MLflow's store: of what experiment 0 is, as the design has it."""
        with closing(sqlite3.connect(self.folder / "mlflow.db")) as database:
            query = "SELECT creation_time, name FROM experiments WHERE experiment_id = 0"
            made, name = database.execute(query).fetchone()
        return f"mlflow://{hashlib.sha256(f'{made}:{name}'.encode()).hexdigest()[:12]}"

    def truth(self) -> Truth:
        """What is true before anything happened: MLflow has an experiment."""
        truth = Truth()
        truth.node("experiment", self.experiment())
        return truth

    def run(self, truth: Truth, run_id: str, experiment: str = "0") -> str:
        """Say that there was a run; its URN."""
        run = truth.node("run", f"mlflow:run/{run_id}")
        truth.edge(self.experiment(experiment), "PARENT_OF", run)
        return run

    def model(self, truth: Truth, run: str, model_id: str, *columns: str) -> str:
        """Say that a run made a model with these inputs; its URN."""
        model = truth.node("model", f"mlflow:model/{model_id}", *columns)
        truth.edge(run, "OUTPUT", model)
        return model

    def version(self, truth: Truth, model: str, name: str, number: int, *columns: str) -> str:
        """Say that a model, or a version of another name, became a version; its URN."""
        family = truth.node("registered_model", self.registered(name))
        version = truth.node("model_version", self.registered(name, number), *columns)
        truth.edge(family, "VERSION_OF", version)
        truth.edge(model, "DERIVES", version)
        truth.columns(model, version, *columns)
        return version

    def experiment(self, number: str = "0") -> str:
        """The URN of an experiment."""
        return f"{self.registry}/experiment/{number}"

    def registered(self, name: str, version: int | str = "") -> str:
        """The URN of a registered model or of a version of it."""
        return f"{self.registry}/registered/{name}" + (f"/{version}" if version else "")

    def file(self, name: str, columns: Mapping[str, Any]) -> str:
        """Write a parquet file; its URN."""
        import pandas as pd

        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(columns).to_parquet(path)
        return canonical(path)

    # --- Feast -----------------------------------------------------------------------------

    def feast(self, name: str = "repo", project: str = "shop", **settings: Any) -> FeastRepo:
        """A Feast repo; the first one is the one that our session reads."""
        repo = FeastRepo(self.folder / name, project, settings)
        self.plugins.setdefault("feast", {"repo": str(repo.path)})
        return repo

    # --- processes -------------------------------------------------------------------------

    def environment(self, *, ambient: bool = False) -> dict[str, str]:
        """The variables of a process that works natively here."""
        found = {key: text for key, text in os.environ.items() if "UNIFIED_MLOPS" not in key}
        found |= {**QUIET, "MLFLOW_TRACKING_URI": self.uri}
        if not ambient:
            hook = self.folder / "not_installed"
            hook.mkdir(exist_ok=True)
            (hook / "sitecustomize.py").write_text(_HIDE)
            found["PYTHONPATH"] = str(hook)
        return found
