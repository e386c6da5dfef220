"""A feature store in memory, right before it is fast."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from unified_mlops.errors import ArgumentError
from unified_mlops.hookspecs import FeatureHooks
from unified_mlops.lineage import urn
from unified_mlops.records import (
    DatasetRecord,
    Edge,
    FeatureViewRecord,
    MaterializationRecord,
    Node,
    Ref,
    Row,
)
from unified_mlops.testing.memory.store import PLUGIN, Store, missing

TIME = "event_timestamp"


class MemoryFeatures(Store, FeatureHooks):
    """Feature views over rows that a test gives."""

    def __init__(self, workspace: Path) -> None:
        super().__init__(workspace)
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self.online: dict[tuple[str, tuple[Any, ...]], Row] = {}

    def define(self, view: FeatureViewRecord, rows: Any) -> None:
        """Hold a feature view and its values; the next `mlops_apply_features` shows it.

        Args:
            view: its definition.
            rows: a DataFrame of the view's entities, its features and `event_timestamp`.
        """
        self.rows[view.ref.uri] = sorted(rows.to_dict("records"), key=lambda row: row[TIME])
        edges = [Edge(view.source, "DERIVES", view.ref.uri)]
        for feature in view.features:
            column = urn.column(view.ref.uri, feature)
            edges.append(Edge(view.ref.uri, "FIELD", column))
            edges.append(Edge(urn.column(view.source, feature), "DERIVES", column))
        self._keep(view, view.name, edges)

    def mlops_apply_features(self) -> Sequence[FeatureViewRecord]:
        """Return the views: they are their own definitions."""
        return self.mlops_list_features()

    def mlops_list_features(self) -> Sequence[FeatureViewRecord]:
        """Return the views by name."""
        return sorted(self._all(FeatureViewRecord), key=lambda view: view.name)

    def mlops_read_history(
        self,
        views: Sequence[FeatureViewRecord],
        features: Sequence[str],
        entities: Any,
        destination: Path,
    ) -> DatasetRecord:
        """Write each entity's values as they were known at its time."""
        wanted = list(_resolve(views, features))
        table = entities.copy()
        keys = entities.to_dict("records")
        for view, feature in wanted:
            known = [self._newest(view, key) for key in keys]
            table[_full(view, feature)] = [row[feature] if row else None for row in known]
        destination.parent.mkdir(parents=True, exist_ok=True)
        table.to_parquet(destination, index=False)
        made_of = {_full(view, name): urn.column(view.ref.uri, name) for view, name in wanted}
        record = _training_set(destination, table, made_of)
        tables = [Edge(view.ref.uri, "DERIVES", record.ref.uri) for view in views]
        return self._keep(record, record.name, [*tables, *record.edges])

    def mlops_read_online(
        self,
        views: Sequence[FeatureViewRecord],
        features: Sequence[str],
        entities: Sequence[Row],
    ) -> Sequence[Row]:
        """Return the materialised values, None where there is none."""
        wanted = list(_resolve(views, features))
        bare = [feature for _, feature in wanted]
        return [
            {
                name if bare.count(name) == 1 else _full(view, name): self.online.get(
                    (view.ref.uri, _key(view, row)), {}
                ).get(name)
                for view, name in wanted
            }
            for row in entities
        ]

    def mlops_materialize_features(
        self, views: Sequence[FeatureViewRecord], start: datetime, end: datetime
    ) -> MaterializationRecord:
        """Copy the newest values of a time window to the online store."""
        if start.tzinfo is None or end.tzinfo is None:
            raise ArgumentError(
                f"{start} to {end} has no time zone", hint="datetime(..., tzinfo=timezone.utc)"
            )
        for view in views:
            for row in self.rows[view.ref.uri]:  # in order of time: the newest comes last
                if start <= row[TIME] < end:
                    self.online[view.ref.uri, _key(view, row)] = row
        names = tuple(view.name for view in views)
        ref = self._ref("materialization")
        record = MaterializationRecord(ref=ref, views=names, start=start, end=end)
        nodes = [Node(view.ref.uri, "feature_view", view.name) for view in views]
        self._keep(record, ", ".join(names), [Edge(node.uri, "INPUT", ref.uri) for node in nodes])
        return record

    def _newest(self, view: FeatureViewRecord, entity: Row) -> Row | None:
        newest = None
        for row in self.rows[view.ref.uri]:
            if _key(view, row) == _key(view, entity) and row[TIME] <= entity[TIME]:
                newest = row
        return newest


def _training_set(path: Path, table: Any, made_of: Mapping[str, str]) -> DatasetRecord:
    uri = urn.canonical(path)
    return DatasetRecord(
        ref=Ref(PLUGIN, "dataset", uri, uri),
        edges=tuple(
            Edge(source, "DERIVES", urn.column(uri, name)) for name, source in made_of.items()
        ),
        name=path.name,
        columns={name: (made_of[name],) if name in made_of else () for name in table.columns},
        rows=len(table),
    )


def _full(view: FeatureViewRecord, feature: str) -> str:
    return f"{view.name}__{feature}"


def _key(view: FeatureViewRecord, row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[column] for column in view.entities)


def _resolve(
    views: Sequence[FeatureViewRecord], features: Sequence[str]
) -> Iterator[tuple[FeatureViewRecord, str]]:
    known = {f"{view.name}:{name}": (view, name) for view in views for name in view.features}
    for feature in features:
        if feature not in known:
            raise missing(f"no feature {feature!r}", known)
        yield known[feature]
