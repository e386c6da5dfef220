"""The tools as their own users have them: MLflow on SQLite, Feast repos, and their commands."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
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


class FeastRepo:
    """A Feast repo, changed by `feast apply` alone.

    Args:
        path: its folder.
        project: its project.
        settings: more of `feature_store.yaml`.
    """

    def __init__(self, path: Path, project: str, settings: Mapping[str, Any]) -> None:
        import yaml

        self.path = path
        self.project = project
        kept = settings.get("registry")
        self.registry = kept["path"] if kept else str(path / "data" / "registry.db")
        path.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(
            {
                **{"project": project, "provider": "local", "registry": "data/registry.db"},
                "online_store": {"type": "sqlite", "path": "data/online.db"},
                **{"offline_store": {"type": "file"}, "entity_key_serialization_version": 3},
                **settings,
            }
        )
        (path / "feature_store.yaml").write_text(text)
        (path / "data").mkdir(exist_ok=True)

    def apply(self, definitions: str, *options: str) -> None:
        """Write the definitions and run `feast apply`."""
        module = f"definitions_{self.path.parent.name.replace('-', '_')}_{self.path.name}"
        (self.path / f"{module}.py").write_text(HEAD + textwrap.dedent(definitions))
        try:
            self.command("apply", *options)
        finally:
            sys.modules.pop(module, None)

    def command(self, *words: str) -> None:
        """Run a command of Feast's, in this process, as its import takes 7 s."""
        from click.testing import CliRunner
        from feast.cli.cli import cli

        here, path = Path.cwd(), list(sys.path)
        try:
            done = CliRunner().invoke(cli, ["-c", str(self.path), *words])
        finally:
            os.chdir(here)
            sys.path[:] = path
        assert done.exit_code == 0, (done.output, done.exception)

    @property
    def store(self) -> Any:
        """Feast's own store."""
        from feast import FeatureStore

        return FeatureStore(repo_path=str(self.path))

    @property
    def root(self) -> str:
        """The URN of the project: of the canonical location of the registry, as the design says."""
        registry = canonical(self.registry).encode()
        store = hashlib.sha256(registry).hexdigest()[:12]
        return f"feast://{store}/{self.project}"

    def told(
        self,
        truth: Truth,
        name: str,
        file: str,
        features: Sequence[str] = (),
        keys: Sequence[str] = ("id",),
        **renamed: str,
    ) -> str:
        """Say that a view of a file is defined as it is now; the URN of that definition.

        Args:
            truth: where to say it.
            name: the view's.
            file: the URN of the file.
            features: the view's features.
            keys: its join keys.
            renamed: columns of the file that are called otherwise in the view.
        """
        made = self.defined(truth, "feature_view", name, *keys, *features)
        own = {new: old for old, new in renamed.items()}
        columns = [own.get(column, column) for column in (*keys, *features)]
        truth.node("dataset", file, "ts", *columns)
        truth.edge(file, "DERIVES", made)
        truth.columns(file, made, *[c for c in columns if c not in renamed], **renamed)
        return made

    def defined(self, truth: Truth, kind: str, name: str, *columns: str) -> str:
        """Say that a view or service is defined as it is now; the URN of that definition."""
        truth.node("project", self.root)
        what = self.view(name) if kind == "feature_view" else self.service(name)
        live, made = truth.node(kind, what.rpartition("@")[0]), truth.node(kind, what, *columns)
        truth.edge(self.root, "PARENT_OF", live)
        truth.edge(live, "VERSION_OF", made)
        truth.edge(made, "DERIVES", live)
        return made

    def serves(self, truth: Truth, name: str, views: Mapping[str, Sequence[str]]) -> str:
        """Say that a service has these features of these views, by the views' own names."""
        references = [f"{view}:{feature}" for view, own in views.items() for feature in own]
        made = self.defined(truth, "feature_service", name, *references)
        for view, own in views.items():
            truth.edge(self.view(view), "DERIVES", made)
            truth.columns(self.view(view), made, **{each: f"{view}:{each}" for each in own})
        return made

    def view(self, name: str) -> str:
        """The URN of what a view means now; its hash is opaque to the scenarios."""
        return f"{self.root}/featureView/{name}@{self._versions('views')[name]}"

    def service(self, name: str) -> str:
        """The URN of what a service means now."""
        return f"{self.root}/featureService/{name}@{self._versions('services')[name]}"

    def _versions(self, what: str) -> dict[str, str]:
        from unified_mlops_feast.stored import read, read_settings
        from unified_mlops_feast.timeline import history_of

        settings = read_settings(self.path)
        history = history_of(read(settings).registry(settings), settings.names)
        return {name: spans[-1].thing.version for name, spans in getattr(history, what).items()}


HEAD = """\
from datetime import timedelta

import pandas as pd
from feast import Entity, FeatureService, FeatureView, Field, FileSource, RequestSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64, String
"""
