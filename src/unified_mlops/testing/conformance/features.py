"""Standard tests of the feature store, against a point-in-time join in plain Python."""

# ruff: noqa: D102 - the name of a test says what it sees to

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from unified_mlops.hookspecs import Hooks
from unified_mlops.lineage import urn
from unified_mlops.records import DatasetRecord, FeatureViewRecord, MaterializationRecord, Row
from unified_mlops.testing.conformance.checks import (
    check_record,
    check_uri,
    names_of,
    needs,
    refused,
)
from unified_mlops.testing.conformance.kit import Kit

Views = Sequence[FeatureViewRecord]
FEATURES = ["driver_stats:rating", "driver_stats:trips", "driver_stats:city"]
MIDNIGHT = datetime(2024, 5, 1, tzinfo=timezone.utc)
DAY = timedelta(days=1)


def at(hours: float) -> datetime:
    """A time on the day of the feature rows."""
    return MIDNIGHT + timedelta(hours=hours)


class FeatureConformance(Kit):
    """`FeatureHooks`: definitions, training sets and online values."""

    @pytest.fixture
    def entities(self) -> Any:
        """Rows to join: unordered, one of them twice, one too early, one unknown, one exact."""
        pandas = pytest.importorskip("pandas")
        keys = [(2, 9.0), (1, 2.5), (1, 2.5), (1, 0.5), (99, 3.0), (2, 2.0), (1, 2.0)]
        return pandas.DataFrame(
            {
                "driver_id": [driver for driver, _ in keys],
                "event_timestamp": pandas.to_datetime([at(hours) for _, hours in keys], utc=True),
                "späte": [5, 3, 3, 8, 1, 4, 2],
            }
        )

    # --- apply_features, list_features ---

    def test_apply_features__answers_with_the_views(self, feature_views: Views) -> None:
        (view,) = feature_views
        check_record(view, FeatureViewRecord, "feature_view")
        assert view.entities == ("driver_id",)
        assert sorted(view.features) == ["city", "rating", "trips"]
        check_uri(view.source)

    def test_apply_features__changes_nothing_the_second_time(
        self, hooks: Hooks, feature_views: Views
    ) -> None:
        views = list(hooks.mlops_apply_features())
        assert feature_views[0] in views
        assert list(hooks.mlops_apply_features()) == views

    def test_list_features__returns_the_views_by_name(
        self, hooks: Hooks, feature_views: Views
    ) -> None:
        found = hooks.mlops_list_features()
        assert names_of(found) == sorted(names_of(found))
        assert feature_views[0] in found

    # --- read_history ---

    def test_read_history__orders_the_columns_as_asked(
        self, hooks: Hooks, feature_views: Views, entities: Any, tmp_path: Path
    ) -> None:
        for features in (FEATURES, FEATURES[::-1]):
            path = tmp_path / "new" / f"größe {_short(features[0])}.parquet"
            record = _history(hooks, feature_views, features, entities, path)
            expected = [*entities.columns, *map(_full, features)]
            assert list(_read(path)[0]) == expected
            assert list(record.columns) == expected

    def test_read_history__returns_every_row_once_in_order(
        self, hooks: Hooks, feature_views: Views, entities: Any, tmp_path: Path
    ) -> None:
        path = tmp_path / "set.parquet"
        record = _history(hooks, feature_views, FEATURES, entities, path)
        rows = _read(path)
        assert [[row[name] for name in entities.columns] for row in rows] == [
            list(row.values()) for row in entities.to_dict("records")
        ]
        assert record.rows == len(entities)

    def test_read_history__knows_the_past_and_never_the_future(
        self, hooks: Hooks, feature_views: Views, entities: Any, feature_rows: Any, tmp_path: Path
    ) -> None:
        path = tmp_path / "set.parquet"
        _history(hooks, feature_views, FEATURES, entities, path)
        known = feature_rows.to_dict("records")
        expected = [_as_of(known, row) for row in entities.to_dict("records")]
        assert [{f: row[_full(f)] for f in FEATURES} for row in _read(path)] == expected

    def test_read_history__says_what_was_written_and_from_what(
        self, hooks: Hooks, feature_views: Views, entities: Any, tmp_path: Path
    ) -> None:
        path = tmp_path / "set.parquet"
        record = _history(hooks, feature_views, FEATURES, entities, path)
        check_record(record, DatasetRecord, "dataset")
        assert record.ref.uri == urn.canonical(path)
        for feature in FEATURES:
            sources = record.columns[_full(feature)]
            assert sources, f"{feature} comes from nowhere"
            for source in sources:
                check_uri(source)
                assert urn.owner(source), f"{source!r} is no column"

    def test_read_history__leaves_the_entities_alone(
        self, hooks: Hooks, feature_views: Views, entities: Any, tmp_path: Path
    ) -> None:
        before = entities.copy(deep=True)
        _history(hooks, feature_views, FEATURES, entities, tmp_path / "set.parquet")
        assert before.equals(entities)

    def test_read_history__refuses_an_unknown_feature_and_writes_nothing(
        self, hooks: Hooks, feature_views: Views, entities: Any, tmp_path: Path
    ) -> None:
        path = tmp_path / "set.parquet"
        with refused():
            _history(hooks, feature_views, ["driver_stats:none"], entities, path)
        assert not path.exists()

    # --- read_online ---

    @needs("materialize_features")
    def test_read_online__keeps_the_order_of_entities_and_features(
        self, hooks: Hooks, feature_views: Views
    ) -> None:
        hooks.mlops_materialize_features(views=feature_views, start=MIDNIGHT, end=MIDNIGHT + DAY)
        for features in (FEATURES, FEATURES[::-1]):
            entities = [{"driver_id": driver} for driver in (2, 1, 2)]
            rows = hooks.mlops_read_online(
                views=feature_views, features=features, entities=entities
            )
            assert [list(row) for row in rows] == [[*map(_short, features)]] * 3
            assert [row["trips"] for row in rows] == [60, 30, 60]

    @needs("materialize_features")
    def test_read_online__returns_plain_values_and_none_for_the_unknown(
        self, hooks: Hooks, feature_views: Views
    ) -> None:
        hooks.mlops_materialize_features(views=feature_views, start=MIDNIGHT, end=MIDNIGHT + DAY)
        rows = hooks.mlops_read_online(
            views=feature_views,
            features=FEATURES,
            entities=[{"driver_id": 99}, {"driver_id": 1}],
        )
        assert [dict(row) for row in rows] == [
            {"rating": None, "trips": None, "city": None},
            {"rating": 0.3, "trips": 30, "city": "Köln"},
        ]

    def test_read_online__knows_only_what_was_materialised(
        self, hooks: Hooks, feature_views: Views
    ) -> None:
        (row,) = hooks.mlops_read_online(
            views=feature_views, features=FEATURES, entities=[{"driver_id": 1}]
        )
        assert set(row.values()) == {None}

    def test_read_online__refuses_an_unknown_feature(
        self, hooks: Hooks, feature_views: Views
    ) -> None:
        with refused():
            hooks.mlops_read_online(
                views=feature_views, features=["driver_stats:none"], entities=[{"driver_id": 1}]
            )

    # --- materialize_features ---

    def test_materialize_features__answers_with_views_and_times(
        self, hooks: Hooks, feature_views: Views
    ) -> None:
        record = hooks.mlops_materialize_features(views=feature_views, start=at(0), end=at(24))
        check_record(record, MaterializationRecord, "materialization")
        assert record.views == ("driver_stats",)
        assert (record.start, record.end) == (at(0), at(24))

    @needs("read_online")
    def test_materialize_features__leaves_out_the_end_of_the_window(
        self, hooks: Hooks, feature_views: Views
    ) -> None:
        hooks.mlops_materialize_features(views=feature_views, start=at(1), end=at(3))
        entities = [{"driver_id": 1}, {"driver_id": 2}]
        rows = hooks.mlops_read_online(
            views=feature_views, features=FEATURES[:2], entities=entities
        )
        assert [row["trips"] for row in rows] == [20, 50]

    @needs("read_online")
    def test_materialize_features__may_be_repeated(
        self, hooks: Hooks, feature_views: Views
    ) -> None:
        for _ in range(2):
            hooks.mlops_materialize_features(views=feature_views, start=at(0), end=at(24))
        (row,) = hooks.mlops_read_online(
            views=feature_views, features=FEATURES[:2], entities=[{"driver_id": 2}]
        )
        assert row["trips"] == 60


def _history(
    hooks: Hooks, views: Views, features: Sequence[str], entities: Any, path: Path
) -> DatasetRecord:
    return hooks.mlops_read_history(
        views=views, features=features, entities=entities, destination=path
    )


def _short(feature: str) -> str:
    return feature.partition(":")[2]


def _full(feature: str) -> str:
    return feature.replace(":", "__")


def _read(path: Path) -> list[dict[str, Any]]:
    """The rows of a parquet file, read without the plugin and without pandas' NaN."""
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return [
        {name: None if value != value else value for name, value in row.items()}  # noqa: PLR0124
        for row in rows
    ]


def _as_of(known: Sequence[Row], entity: Row) -> dict[str, Any]:
    """The newest row of an entity at its time: the point-in-time join as one reads it."""
    past = [
        row
        for row in known
        if row["driver_id"] == entity["driver_id"]
        and row["event_timestamp"] <= entity["event_timestamp"]
    ]
    newest = max(past, key=lambda row: row["event_timestamp"], default={})
    return {feature: newest.get(_short(feature)) for feature in FEATURES}
