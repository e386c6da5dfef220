"""The hooks that Feast serves."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from unified_mlops.errors import ArgumentError, NotFoundError, UnsupportedError
from unified_mlops.hookspecs import FeatureHooks, LineageHooks, PluginHooks
from unified_mlops.records import (
    UI,
    Check,
    Collection,
    DatasetRecord,
    Edge,
    FeatureViewRecord,
    MaterializationRecord,
    Ref,
    Row,
)
from unified_mlops_feast.convert import NO_DUCKDB_2, PLUGIN, translated, view_record
from unified_mlops_feast.repo import Opened, Repo

_TICK = timedelta(microseconds=1)
"""What Feast can tell apart; its own intervals include their end."""


@dataclass(frozen=True)
class _Plan:
    """What an online read asks Feast for, checked once."""

    needs: frozenset[str]
    features: list[str]
    columns: tuple[str, ...]
    names: tuple[str, ...]

    def keys_of(self, entity: Row) -> dict[str, Any]:
        """What Feast needs of an entity, and nothing else.

        Raises:
            ArgumentError: a join key or a request column is missing.
        """
        if not self.needs <= entity.keys():
            missing = sorted(self.needs - entity.keys())
            raise ArgumentError(
                f"entity {dict(entity)!r} has no {missing[0]!r}",
                hint=f"give {', '.join(map(repr, sorted(self.needs)))} for each entity",
            )
        return {key: entity[key] for key in self.needs}


class FeastPlugin(FeatureHooks, LineageHooks, PluginHooks):
    """Feature views and their values, in a Feast repo that Feast's own tools work on as well.

    Args:
        workspace: the session's folder.
        repo: the folder with `feature_store.yaml` and the definitions; `feature_repo` in the
            workspace unless given.
    """

    def __init__(self, workspace: Path, repo: str | Path = "feature_repo") -> None:
        self._repo = Repo((workspace / Path(repo).expanduser()).absolute())

    def mlops_apply_features(self) -> Sequence[FeatureViewRecord]:
        """Do what `feast apply` does, and return the views by name."""
        self._repo.apply()
        return self.mlops_list_features()

    def mlops_list_features(self) -> Sequence[FeatureViewRecord]:
        """Return the feature views by name."""
        opened = self._repo.open(fresh=True)
        return tuple(view_record(view, opened.names) for view in opened.views.values())

    def mlops_read_history(
        self,
        views: Sequence[FeatureViewRecord],
        features: Sequence[str],
        entities: Any,
        destination: Path,
    ) -> DatasetRecord:
        """Write a point-in-time correct training set to a parquet file."""
        from unified_mlops_feast.history import write_history

        return write_history(self._repo, views, features, entities, destination)

    def mlops_read_online(
        self,
        views: Sequence[FeatureViewRecord],
        features: Sequence[str],
        entities: Sequence[Row],
    ) -> Sequence[Row]:
        """Return the newest materialised values, a row for each entity, in order."""
        del views  # what lineage needs to know; Feast goes by the features
        opened = self._repo.open()
        plan = opened.plans.get(tuple(features)) or _plan(opened, features)
        rows = [plan.keys_of(entity) for entity in entities]
        if not rows:
            return ()
        with translated(self._repo.path):
            answer = opened.store.get_online_features(
                features=plan.features, entity_rows=rows, full_feature_names=True
            ).to_dict()
        values = zip(*(answer[column] for column in plan.columns), strict=True)
        return [dict(zip(plan.names, row, strict=True)) for row in values]

    def mlops_materialize_features(
        self, views: Sequence[FeatureViewRecord], start: datetime, end: datetime
    ) -> MaterializationRecord:
        """Copy the newest values with event times in [start, end) to the online store."""
        start, end = (
            time if time.tzinfo else time.replace(tzinfo=timezone.utc) for time in (start, end)
        )
        names = [view.name for view in views]
        if not names:
            raise ArgumentError("no view is given", hint="give the feature views to materialise")
        if start >= end:
            fact = f"{start.isoformat()} is not before {end.isoformat()}"
            raise ArgumentError(fact, hint="give start before end")
        opened, last = self._repo.open(), end - _TICK
        with self._repo.busy(opened):
            opened.store.materialize(start, last, feature_views=names)
        uris = [opened.names.materialization(name, start, last) for name in names]
        joined = opened.names.materialization("+".join(names), start, last)
        parts = [Edge(joined, "PARENT_OF", uri, "declared") for uri in uris if uri != joined]
        ref = Ref(PLUGIN, "materialization", joined.partition("/materialization/")[2], joined)
        return MaterializationRecord(
            ref=ref, edges=tuple(parts), views=tuple(names), start=start, end=end
        )

    def mlops_collect_lineage(self, cursor: str | None) -> Collection:
        """Read the registry; nothing where there is none, or where it says what it said."""
        from unified_mlops_feast.collect import collect

        with translated(self._repo.path):
            try:
                settings = self._repo.settings_read()
            except NotFoundError:
                return Collection((), cursor)
            return collect(settings, cursor)

    def mlops_check_plugin(self) -> Check:
        """Say which Feast this is, where the repo is, and what is wrong with the installation."""
        try:
            installed, duckdb = version("feast"), version("duckdb")
        except PackageNotFoundError as error:
            problem = f"{error.name} is not installed: pip install unified-mlops-feast"
            return Check(PLUGIN, "feast", "", str(self._repo.path), problem)
        old = int(duckdb.partition(".")[0]) < 2
        problem = "" if old else f"duckdb {duckdb} cannot materialise pandas' times: {NO_DUCKDB_2}"
        return Check(PLUGIN, "feast", installed, str(self._repo.path), problem)

    def mlops_describe_ui(self) -> UI:
        """Say how to open Feast's own page on the repo."""
        feast = str(Path(sys.executable).with_name("feast"))
        page = ("ui", "--host", "127.0.0.1", "--port", "{port}")
        return UI(PLUGIN, "Feast", (feast, "-c", str(self._repo.path), *page), 8888)

    def mlops_get_native(self, ref: Ref) -> Any:
        """Return Feast's `FeatureStore` for a project, its feature view for a feature view."""
        opened = self._repo.open()
        if ref.kind == "project":
            return opened.store
        if ref.kind != "feature_view":
            hint = "ask for the native object of the project or of a feature view"
            raise UnsupportedError(f"Feast has no object for a {ref.kind!r}", hint=hint)
        with translated(self._repo.path):
            return opened.store.registry.get_any_feature_view(ref.id, opened.store.project)


def _plan(opened: Opened, features: Sequence[str]) -> _Plan:
    wanted = opened.resolve(features)
    bare = [name for _, name in wanted]
    full = tuple(f"{view.name}__{name}" for view, name in wanted)
    plan = _Plan(
        needs=frozenset(need for view, _ in wanted for need in view.needs),
        features=list(features),
        columns=full,
        names=tuple(
            name if bare.count(name) == 1 else column
            for name, column in zip(bare, full, strict=True)
        ),
    )
    opened.plans[tuple(features)] = plan
    return plan
