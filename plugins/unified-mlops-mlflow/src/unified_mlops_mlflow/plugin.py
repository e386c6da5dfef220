"""The plugin: each hook, answered with MLflow."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from unified_mlops.errors import ArgumentError, UnsupportedError
from unified_mlops.hookspecs import LineageHooks, ModelHooks, PluginHooks, RunHooks
from unified_mlops.records import (
    UI,
    Check,
    Collection,
    DatasetRecord,
    Metric,
    ModelRecord,
    ModelVersionRecord,
    Ref,
    RunRecord,
    Scalar,
    State,
)
from unified_mlops_mlflow import collect, datasets, models, registry, runs
from unified_mlops_mlflow.convert import (
    FINAL,
    PARENT_TAG,
    PLUGIN,
    STATE_TAG,
    STATUSES,
    model_record,
)
from unified_mlops_mlflow.store import QUIET, SQLITE, Store


class MlflowPlugin(RunHooks, ModelHooks, LineageHooks, PluginHooks):
    """Runs, models and the registry, kept in MLflow.

    Args:
        workspace: the session's folder.
        tracking_uri: MLflow's tracking URI; a SQLite database in the workspace if left out.
        artifact_root: the folder or URI below which experiments keep files; in the workspace if
            left out, or the server's own where the tracking URI is one.
    """

    def __init__(
        self, workspace: Path, tracking_uri: str | None = None, artifact_root: str | None = None
    ) -> None:
        home = Path(workspace).absolute() / "mlflow"
        uri = tracking_uri or f"{SQLITE}{home / 'mlflow.db'}"
        served = uri.startswith("http")
        root = artifact_root or (None if served else str(home / "artifacts"))
        self._store = Store(uri, root and _as_uri(root))

    # --- runs ---

    def mlops_create_run(
        self, experiment: str, name: str, parent: RunRecord | None, tags: Mapping[str, str]
    ) -> RunRecord:
        """Create a run, and its experiment where that is new or was deleted."""
        with self._store.open() as client:
            family = {PARENT_TAG: parent.ref.id} if parent else {}
            run = runs.create(self._store, client, experiment, name, {**family, **tags})
            known = {parent.ref.id: parent.name} if parent else {}
            return runs.records(client, [run], experiment, self._store, known)[0]

    def mlops_get_run(self, experiment: str, name: str) -> RunRecord:
        """Return a run."""
        with self._store.read() as client:
            run = runs.run_named(client, runs.experiment_named(client, experiment), name)
            return runs.records(client, [run], experiment, self._store)[0]

    def mlops_list_runs(self, experiment: str) -> Sequence[RunRecord]:
        """Return the runs of an experiment, oldest first."""
        with self._store.read() as client:
            found = runs.experiment_named(client, experiment)
            listed = list(runs.search(client, [found.experiment_id], ""))
            return runs.records(client, listed, experiment, self._store)

    def mlops_update_run(self, run: RunRecord, state: State, tags: Mapping[str, str]) -> RunRecord:
        """Add tags and set the state."""
        if state not in STATUSES:
            raise ArgumentError(f"no state {state!r}", hint=f"one of: {', '.join(STATUSES)}")
        with self._store.open() as client:
            status = STATUSES[state]
            cached = {STATE_TAG: state} if status == STATUSES["CACHED"] else {}
            runs.log_tags(client, run.ref.id, {**tags, **cached})
            if status in FINAL:
                client.set_terminated(run.ref.id, status)
            else:
                client.update_run(run.ref.id, status)
            updated = client.get_run(run.ref.id)
            known = {run.tags[PARENT_TAG]: run.parent} if run.parent else {}
            return runs.records(client, [updated], run.experiment, self._store, known)[0]

    def mlops_log_params(self, run: RunRecord, params: Mapping[str, Scalar]) -> None:
        """Record parameters."""
        with self._store.open() as client:
            runs.log_params(client, run.ref.id, params)

    def mlops_log_metrics(self, run: RunRecord, metrics: Sequence[Metric]) -> None:
        """Record values of time series."""
        with self._store.open() as client:
            runs.log_metrics(client, run.ref.id, metrics)

    def mlops_log_input(self, run: RunRecord, dataset: DatasetRecord, context: str) -> None:
        """Record a dataset as an input of a run, and what its columns were made from."""
        with self._store.open() as client:
            native = datasets.make_input(client.get_run(run.ref.id), dataset, context)
            runs.log_tags(client, run.ref.id, datasets.column_tags(dataset))
            if native is not None:
                datasets.log_input(client, run.ref.id, native)

    def mlops_log_artifact(self, run: RunRecord, path: Path, folder: str) -> None:
        """Copy a file to the artifacts of a run."""
        if not Path(path).is_file():
            raise ArgumentError(f"no file {str(path)!r}", hint="give the path of a file")
        with self._store.open() as client:
            client.log_artifact(run.ref.id, str(path), folder or None)

    def mlops_export_run(self, run: RunRecord) -> Mapping[str, str]:
        """Return the variables by which plain MLflow makes its runs children of a run."""
        with self._store.open() as client:
            return runs.variables(self._store, client.get_run(run.ref.id), run.experiment)

    # --- models ---

    def mlops_log_model(self, run: RunRecord, name: str, model: Any, example: Any) -> ModelRecord:
        """Store a model in the flavour of the package that it comes from."""
        with self._store.open() as client:
            logged = models.log(client, run.ref.id, name, model, example)
            return model_record(logged, models.signature_columns(client, logged.artifact_location))

    def mlops_register_model(
        self, model: ModelRecord, name: str, labels: Mapping[str, str]
    ) -> ModelVersionRecord:
        """Make a logged model the next version of a registered model."""
        with self._store.open() as client:
            version = registry.register(self._store, client, model, name, labels)
            return registry.record(self._store, client, version)

    def mlops_get_model(self, name: str, version: str) -> ModelVersionRecord:
        """Return a version by number or alias."""
        with self._store.read() as client:
            found = registry.version_named(client, name, version)
            return registry.record(self._store, client, found)

    def mlops_list_models(self, name: str) -> Sequence[ModelVersionRecord]:
        """Return the versions of a registered model, oldest first."""
        with self._store.read() as client:
            family = registry.family_named(client, name)
            found = registry.versions(client, family.name)
            return [registry.record(self._store, client, version) for version in found]

    def mlops_update_model(
        self, model: ModelVersionRecord, aliases: Sequence[str], labels: Mapping[str, str]
    ) -> ModelVersionRecord:
        """Set aliases and version tags."""
        with self._store.open() as client:
            registry.update(client, model.name, model.version, aliases, labels)
            found = client.get_model_version(model.name, model.version)
            return registry.record(self._store, client, found)

    def mlops_load_model(self, model: Ref) -> Any:
        """Return a model as MLflow's generic Python model."""
        with self._store.read() as client:
            return models.load(client, model)

    # --- lineage, and the plugin itself ---

    def mlops_collect_lineage(self, cursor: str | None) -> Collection:
        """Read the store; one that is not there stays so."""
        return collect.collect(self._store, cursor)

    def mlops_check_plugin(self) -> Check:
        """Say where the store is and whether it can be read."""
        problem = ""
        try:
            self._store.exists()
        except sqlite3.Error as error:
            problem = f"the database cannot be read: {error}"
        return Check(PLUGIN, "mlflow", version("mlflow"), self._store.location, problem)

    def mlops_describe_ui(self) -> UI:
        """Say how to start MLflow's page."""
        if self._store.uri.startswith("http"):
            raise UnsupportedError(
                "the MLflow server shows its own page", hint=f"open {self._store.location}"
            )
        roots = ("--default-artifact-root", self._store.artifact_root or "")
        return UI(
            plugin=PLUGIN,
            title="MLflow",
            command=(
                *(sys.executable, "-m", "mlflow", "ui", "--workers", "1"),
                *("--app-name", "unified_mlops"),  # with the lineage pages
                *("--backend-store-uri", self._store.uri, *roots),
                *("--host", "127.0.0.1", "--port", "{port}"),
            ),
            port=5000,
            environment={"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **QUIET},
        )

    def mlops_get_native(self, ref: Ref) -> Any:
        """Return MLflow's `Run`, `LoggedModel` or `ModelVersion`."""
        with self._store.read() as client:
            if ref.kind == "run":
                return client.get_run(ref.id)
            if ref.kind == "model":
                return client.get_logged_model(ref.id)
            name, _, number = ref.id.rpartition("/")
            return client.get_model_version(name, number)


def _as_uri(root: str) -> str:
    return root.rstrip("/") if "://" in root else Path(root).absolute().as_uri()
