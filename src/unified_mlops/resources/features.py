"""Features: views, their history for training and their newest values for serving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from uuid import uuid4

from unified_mlops.current import current_session
from unified_mlops.errors import ArgumentError, NotFoundError
from unified_mlops.hookspecs import FeatureHooks
from unified_mlops.records import FeatureViewRecord, MaterializationRecord, Row
from unified_mlops.resources.base import Resource
from unified_mlops.resources.datasets import Dataset
from unified_mlops.session import Session


class FeatureView(Resource[FeatureViewRecord]):
    """A feature view as its definition says it.

    Args:
        name: its name.
        session: where to look; the current session if left out.
    """

    @staticmethod
    def _find(session: Session, name: str) -> FeatureViewRecord:
        views = {view.name: view for view in session.ask(FeatureHooks.mlops_list_features)}
        if name not in views:
            near = get_close_matches(name, views) or sorted(views)
            hint = f"did you mean {', '.join(near)}?" if near else "FeatureStore().apply()"
            raise NotFoundError(f"no feature view {name!r}", hint=hint)
        return views[name]

    @classmethod
    def list(cls, *, session: Session | None = None) -> list[FeatureView]:
        """Every feature view, by name."""
        session = session or current_session()
        return [cls.of(view, session) for view in session.ask(FeatureHooks.mlops_list_features)]

    @property
    def name(self) -> str:
        """The view's name."""
        return self.record.name

    @property
    def features(self) -> Sequence[str]:
        """The names of its features."""
        return self.record.features

    def sync(self, start: datetime, end: datetime) -> MaterializationRecord:
        """Copy its newest values with event times in [start, end) to the online store."""
        return FeatureStore(session=self.session).sync(start, end, views=[self.name])

    def read(self, key: Row) -> Row:
        """The newest values of one entity, by feature name."""
        features = [f"{self.name}:{feature}" for feature in self.features]
        return FeatureStore(session=self.session).fetch_feature_values(features, [key])[0]


class FeatureStore:
    """All feature views of a session's store.

    Args:
        session: the session; the current one if left out.
    """

    def __init__(self, *, session: Session | None = None) -> None:
        self.session = session or current_session()
        self._views: dict[str, FeatureViewRecord] = {}

    def apply(self) -> list[FeatureView]:
        """Bring the store in line with its definitions."""
        views = self.session.ask(FeatureHooks.mlops_apply_features)
        self._views = {view.name: view for view in views}
        return [FeatureView.of(view, self.session) for view in views]

    def sync(
        self, start: datetime, end: datetime, views: Sequence[str] | None = None
    ) -> MaterializationRecord:
        """Copy the newest values with event times in [start, end) to the online store.

        Args:
            start: from when; read as UTC where it has no time zone.
            end: until when, likewise.
            views: which views; all if left out.
        """
        names = views or [view.name for view in FeatureView.list(session=self.session)]
        return self.session.ask(
            FeatureHooks.mlops_materialize_features,
            views=[FeatureView(name, session=self.session).record for name in names],
            start=_aware(start),
            end=_aware(end),
        )

    def fetch_historical_feature_values(
        self, features: Sequence[str], entity_df: Any, destination: str | Path | None = None
    ) -> Dataset:
        """A point-in-time correct training set: no value that was not known at a row's time.

        Inside a run it becomes the run's input.

        Args:
            features: `view:feature`; they become columns `view__feature`.
            entity_df: a DataFrame of keys and `event_timestamp`; every row comes back, in order.
            destination: the parquet file to write; one below the workspace if left out.
        """
        folder = self.session.config.workspace / "datasets"
        dataset = self.session.ask(
            FeatureHooks.mlops_read_history,
            views=self._views_of(features),
            features=list(features),
            entities=entity_df,
            destination=Path(destination or folder / f"{uuid4().hex}.parquet").absolute(),
        )
        return Dataset.of(dataset, self.session)

    def fetch_feature_values(
        self, features: Sequence[str], entities: Sequence[Row]
    ) -> Sequence[Mapping[str, Any]]:
        """The newest online values, a row for each entity, features in the order asked.

        Args:
            features: `view:feature`.
            entities: the keys of each entity by column name.
        """
        return self.session.ask(
            FeatureHooks.mlops_read_online,
            views=self._views_of(features),
            features=list(features),
            entities=entities,
        )

    def _views_of(self, features: Sequence[str]) -> list[FeatureViewRecord]:
        names = dict.fromkeys(feature.partition(":")[0] for feature in features)
        if not names:
            raise ArgumentError("no feature is named", hint='features=["view:feature"]')
        for name in names:
            if name not in self._views:
                self._views[name] = FeatureView(name, session=self.session).record
        return [self._views[name] for name in names]


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
