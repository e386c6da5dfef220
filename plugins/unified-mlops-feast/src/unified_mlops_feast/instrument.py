"""For `umlops run`: what Feast's own `get_historical_features` returns says where it came from.

The frame, or the Arrow table, gets the stamp of `history` in its `attrs`, which parquet keeps: the
definitions that its columns are features of, and the URN of this very retrieval. If an MLflow run
is active, the frame is logged as its input under that URN.
"""

from __future__ import annotations

import functools
import json
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

from unified_mlops.lineage import urn
from unified_mlops_feast.definition import View, views_of
from unified_mlops_feast.history import STAMP
from unified_mlops_feast.names import Names
from unified_mlops_feast.stored import read_settings

CONTEXT = "retrieval"


def stamp_retrievals(module: ModuleType) -> None:
    """Wrap `FeatureStore.get_historical_features` of `feast.feature_store`."""
    kind: Any = module.FeatureStore
    native = kind.get_historical_features

    @functools.wraps(native)
    def get_historical_features(store: Any, *args: Any, **kwargs: Any) -> Any:
        job = native(store, *args, **kwargs)
        try:
            _watch(job, Retrieval(store, *_asked(*args, **kwargs)))
        except Exception as error:  # noqa: BLE001  the user gets what Feast gives
            warnings.warn(f"this feature retrieval is not recorded: {error}", stacklevel=2)
        return job

    kind.get_historical_features = get_historical_features


def _asked(
    entity_df: Any = None,  # noqa: ARG001
    features: Any = (),
    full_feature_names: bool = False,
    *_: Any,
    **__: Any,
) -> tuple[Any, bool]:
    """The two of Feast's arguments that say which columns come back."""
    return features, full_feature_names


def _watch(job: Any, retrieval: Retrieval) -> None:
    """Let this one job stamp what it returns; `to_df` may call `to_arrow` itself."""
    job.to_df = _then(job.to_df, retrieval.frame)
    job.to_arrow = _then(job.to_arrow, retrieval.table)


def _then(native: Callable[..., Any], stamp: Callable[[Any], Any]) -> Callable[..., Any]:
    @functools.wraps(native)
    def give(*args: Any, **kwargs: Any) -> Any:
        answer = native(*args, **kwargs)
        try:
            return stamp(answer)
        except Exception as error:  # noqa: BLE001  the user gets what Feast gives
            warnings.warn(f"this feature retrieval is not recorded: {error}", stacklevel=2)
            return answer

    return give


class Retrieval:
    """One call of `get_historical_features`.

    Args:
        store: Feast's store.
        features: what was asked for, references or a service.
        full: whether the columns are called `<view>__<feature>`.

    Raises:
        ConfigError: the store has no `feature_store.yaml`, so that nobody can find it again.
    """

    def __init__(self, store: Any, features: Any, full: bool) -> None:
        names = read_settings(Path(store.repo_path).absolute()).names
        views = views_of(store.registry.proto(), names)
        self.uri = f"{names.root}/retrieval/{uuid4().hex[:16]}"
        self._logged = False
        self._origins = {
            f"{shown}__{feature}" if full else feature: _definition(names, views, view, feature)
            for shown, view, feature in _references(store, features)
        }

    def frame(self, frame: Any) -> Any:
        """Stamp a pandas frame, and log it as an input of the active run."""
        frame.attrs[STAMP] = self._stamp(frame.columns)
        self._log(frame)
        return frame

    def table(self, table: Any) -> Any:
        """Stamp an Arrow table where pandas keeps `attrs`, and log it."""
        attrs = {STAMP: self._stamp(table.column_names)}
        metadata = {**(table.schema.metadata or {}), b"PANDAS_ATTRS": json.dumps(attrs).encode()}
        if _active_run() and not self._logged:
            frame = table.to_pandas()
            frame.attrs |= attrs
            self._log(frame)
        return table.replace_schema_metadata(metadata)

    def _stamp(self, columns: Any) -> dict[str, Any]:
        made = {name: [self._origins[name]] for name in columns if name in self._origins}
        return {"columns": made, "uri": self.uri}

    def _log(self, frame: Any) -> None:
        if not _active_run() or self._logged:
            return
        mlflow: Any = sys.modules["mlflow"]
        name = f"feast.{self.uri.rpartition('/')[2]}"  # MLflow confuses inputs of one name
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its advice on integers
            dataset = mlflow.data.from_pandas(frame, source=self.uri, name=name)
        mlflow.log_input(dataset, context=CONTEXT)
        self._logged = True


def _definition(names: Names, views: Mapping[str, View], view: str, feature: str) -> str:
    """The URN of a feature in the definition that is live now; `view@v2` asks for an older one."""
    name, _, pinned = view.partition("@")
    version = views[name].version if name in views and not pinned else ""
    return urn.column(names.view(name, version), feature)


def _references(store: Any, features: Any) -> Iterator[tuple[str, str, str]]:
    """The view as it is called here, the view as it is defined, and the feature."""
    if isinstance(features, list | tuple):
        for reference in features:
            shown, _, feature = reference.partition(":")
            yield shown, shown, feature
        return
    for projection in store.get_feature_service(features.name).feature_view_projections:
        pinned = "" if projection.version_tag is None else f"@v{projection.version_tag}"
        for feature in projection.features:
            yield projection.name_to_use(), projection.name + pinned, feature.name


def _active_run() -> Any:
    mlflow: Any = sys.modules.get("mlflow")
    return mlflow.active_run() if mlflow is not None else None
