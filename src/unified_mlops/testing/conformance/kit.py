"""The material of the standard tests. Every fixture and method here may be overridden."""

# ruff: noqa: ARG002 - what overrides a method needs its arguments

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, cast
from uuid import uuid4

import pytest

from unified_mlops.hookspecs import SPECS, Hooks
from unified_mlops.lineage import urn
from unified_mlops.records import (
    DatasetRecord,
    FeatureViewRecord,
    Metric,
    ModelRecord,
    ModelVersionRecord,
    Record,
    Ref,
    RunRecord,
)
from unified_mlops.testing.conformance.checks import overrides

FOREIGN_RUN = RunRecord(
    ref=Ref(plugin="other", kind="run", id="r1", uri="mlflow:run/r1"),
    name="r1",
    experiment="other",
    state="RUNNING",
)
"""The run of another plugin, for those that only listen."""

Dataset = Callable[[str, Mapping[str, Sequence[Any]]], DatasetRecord]


class Kit:
    """Fixtures of the standard tests. Names are new in each test: a workspace may be shared."""

    plugin_class: ClassVar[type[Any]]
    deviations: ClassVar[Mapping[str, str]] = {}

    # --- methods that a plugin's test class may have to override ---

    def make_plugin(self, workspace: Path) -> Any:
        """Construct the plugin; override it to pass settings.

        Args:
            workspace: a folder that may not exist yet.
        """
        return self.plugin_class(workspace=workspace)

    def prepare_features(self, plugin: Any, workspace: Path, rows: Any) -> None:
        """Define the feature view `driver_stats` natively; a plugin with features must override it.

        Its entity is the integer column `driver_id`, its features are `trips` (integer), `rating`
        (float) and `city` (text), its time column is `event_timestamp`; nothing in it grows old.

        Args:
            plugin: the plugin under test.
            workspace: its workspace.
            rows: the values, a DataFrame of those five columns.
        """
        raise NotImplementedError("override prepare_features(self, plugin, workspace, rows)")

    def read_metrics(self, plugin: Any, run: RunRecord) -> Sequence[Metric]:
        """Read every metric of a run back from the tool itself, in the order of the steps.

        Args:
            plugin: the plugin under test.
            run: the run.
        """
        pytest.skip("override read_metrics(self, plugin, run) to have this tested")

    def read_artifact(self, plugin: Any, run: RunRecord, name: str) -> bytes:
        """Read a file of a run back from the tool itself.

        Args:
            plugin: the plugin under test.
            run: the run.
            name: the file's folder and name, such as `plots/roc.txt`.
        """
        pytest.skip("override read_artifact(self, plugin, run, name) to have this tested")

    # --- the plugin under test ---

    @pytest.fixture
    def workspace(self, tmp_path: Path) -> Path:
        """The workspace, which does not exist yet."""
        return tmp_path / "workspace"

    @pytest.fixture
    def plugin(self, workspace: Path) -> Any:
        """The plugin itself."""
        return self.make_plugin(workspace)

    @pytest.fixture
    def hooks(self, plugin: Any) -> Hooks:
        """The plugin's hooks, called as a session does."""
        return cast(Hooks, Caller(plugin))

    @pytest.fixture
    def name(self) -> str:
        """A name that no other test has, and not in ASCII."""
        return f"prüfung-{uuid4().hex[:12]}"

    # --- what the hooks work on ---

    @pytest.fixture
    def run(self, hooks: Hooks, name: str) -> RunRecord:
        """A run of the plugin, or another plugin's where it makes none."""
        if not overrides(self.plugin_class, "mlops_create_run"):
            return FOREIGN_RUN
        return hooks.mlops_create_run(experiment=name, name="lauf", parent=None, tags={})

    @pytest.fixture
    def example(self) -> Any:
        """The rows that the model is fitted on: a DataFrame of the columns `a` and `b`."""
        pandas = pytest.importorskip("pandas")
        return pandas.DataFrame({"a": [x / 10 for x in range(20)], "b": [x % 3 for x in range(20)]})

    @pytest.fixture
    def model(self, example: Any) -> Any:
        """A fitted model that the tool can store."""
        linear = pytest.importorskip("sklearn.linear_model")
        return linear.LogisticRegression().fit(example, [int(x > 9) for x in range(20)])

    @pytest.fixture
    def logged_model(self, hooks: Hooks, run: RunRecord, model: Any, example: Any) -> ModelRecord:
        """The model, logged."""
        return hooks.mlops_log_model(run=run, name="modell", model=model, example=example)

    @pytest.fixture
    def version(self, hooks: Hooks, logged_model: ModelRecord, name: str) -> ModelVersionRecord:
        """The model, registered."""
        return hooks.mlops_register_model(model=logged_model, name=name, labels={"team": "blau"})

    @pytest.fixture
    def dataset(self, tmp_path: Path) -> Dataset:
        """Writes columns of values to a parquet file."""
        return partial(write_dataset, tmp_path)

    @pytest.fixture
    def feature_rows(self) -> Any:
        """The values of the feature view: a DataFrame."""
        pandas = pytest.importorskip("pandas")
        hours = pandas.to_datetime([1, 2, 3, 1, 2, 4], unit="h", origin="2024-05-01", utc=True)
        return pandas.DataFrame(
            {
                "driver_id": [1, 1, 1, 2, 2, 2],
                "event_timestamp": hours,
                "trips": [10, 20, 30, 40, 50, 60],
                "rating": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
                "city": ["Köln", "Bonn", "Köln", "Ulm", "Ulm", "Jena"],
            }
        )

    @pytest.fixture
    def feature_views(
        self, plugin: Any, hooks: Hooks, workspace: Path, feature_rows: Any
    ) -> Sequence[FeatureViewRecord]:
        """The views of the plugin, `driver_stats` among them, with nothing online."""
        self.prepare_features(plugin, workspace, feature_rows)
        if overrides(self.plugin_class, "mlops_apply_features"):
            views = hooks.mlops_apply_features()
        else:
            views = hooks.mlops_list_features()
        return [view for view in views if view.name == "driver_stats"]

    @pytest.fixture
    def address(self) -> str | None:
        """The cluster that tuning runs on; None leaves it to the plugin's settings."""
        return None


class Caller:
    """Calls hooks as pluggy does: an implementation is handed the arguments that it takes.

    Args:
        plugin: the plugin; what is no hook is its own.
    """

    def __init__(self, plugin: Any) -> None:
        self._plugin = plugin
        self._owner = owner_of(plugin)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._plugin, name)
        if name not in SPECS:
            return method
        taken = inspect.signature(method).parameters

        def call(**arguments: Any) -> Any:
            answer = method(**{key: arguments[key] for key in arguments if key in taken})
            for record in answer if isinstance(answer, list | tuple) else [answer]:
                if isinstance(record, Record):
                    self._owner = self._owner or record.ref.plugin
                    assert record.ref.plugin == self._owner, f"{name} answers for another plugin"
            return answer

        return call


def owner_of(plugin: Any) -> str:
    """The name of a plugin in its refs, or nothing where it does not say it."""
    if not overrides(type(plugin), "mlops_check_plugin"):
        return ""
    return str(plugin.mlops_check_plugin().plugin)


def write_dataset(folder: Path, name: str, columns: Mapping[str, Sequence[Any]]) -> DatasetRecord:
    """Write a parquet file, and return another plugin's record of it."""
    pandas = pytest.importorskip("pandas")
    path = folder / f"{name}.parquet"
    pandas.DataFrame(columns).to_parquet(path, index=False)
    uri = urn.canonical(path)
    ref = Ref(plugin="other", kind="dataset", id=uri, uri=uri)
    rows = len(next(iter(columns.values())))
    return DatasetRecord(ref=ref, name=name, columns=dict.fromkeys(columns, ()), rows=rows)


def foreign_version(name: str, version: str) -> ModelVersionRecord:
    """A model version of another plugin; `load_factor` loads its model."""
    key = f"{name}/{version}"
    ref = Ref(plugin="other", kind="model_version", id=key, uri=f"mlflow://other/registered/{key}")
    return ModelVersionRecord(ref=ref, name=name, version=version)


class Factor:
    """A model that multiplies the column `x`."""

    def __init__(self, factor: int) -> None:
        self.factor = factor

    def predict(self, frame: Any) -> Any:
        """Return an array, as models do."""
        return (frame["x"] * self.factor).to_numpy()


def load_factor(ref: Ref) -> Factor:
    """Load the model of a version: it multiplies by the version's number."""
    return Factor(int(ref.id.rpartition("/")[2]))
