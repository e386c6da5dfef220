"""Monitoring: how far data has moved from what a model was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from unified_mlops.current import current_session
from unified_mlops.errors import ArgumentError
from unified_mlops.hookspecs import MonitorHooks
from unified_mlops.records import AlertRecord, ReportRecord, Score
from unified_mlops.resources.base import Resource
from unified_mlops.resources.datasets import Dataset
from unified_mlops.resources.endpoints import Endpoint
from unified_mlops.resources.models import Model
from unified_mlops.session import Session

THRESHOLD = 0.3
"""Vertex's default for drift and skew."""


class MonitoringReport(Resource[ReportRecord]):
    """One monitoring pass."""

    @property
    def scores(self) -> Mapping[str, Score]:
        """The score of each column, with its method and threshold."""
        return self.record.scores

    @property
    def alerts(self) -> Sequence[AlertRecord]:
        """The columns whose score exceeded their threshold."""
        return self.record.alerts


class ModelMonitor:
    """Watches what a model or an endpoint meets against what it was trained on.

    Args:
        display_name: its name.
        target: the model version or endpoint.
        training_dataset: what it was trained on.
        thresholds: the columns to watch, each with the score above which it alerts; or a list of
            columns, for Vertex's default of 0.3 each.
        session: the session; the current one if left out.
    """

    def __init__(
        self,
        display_name: str,
        *,
        target: Model | Endpoint,
        training_dataset: Dataset,
        thresholds: Mapping[str, float] | Sequence[str],
        session: Session | None = None,
    ) -> None:
        if not thresholds:
            raise ArgumentError("no column is to be watched", hint='thresholds={"column": 0.3}')
        self.name = display_name
        self.target = target
        self.training_dataset = training_dataset
        named = (
            thresholds if isinstance(thresholds, Mapping) else dict.fromkeys(thresholds, THRESHOLD)
        )
        self.thresholds: Mapping[str, float] = dict(named)
        self.session = session or current_session()

    def run(self, dataset: Dataset) -> MonitoringReport:
        """Compare a dataset with the training data.

        Args:
            dataset: what the model meets now.
        """
        record = self.session.ask(
            MonitorHooks.mlops_run_monitor,
            monitor=self.name,
            subject=self.target.record,
            reference=self.training_dataset.record,
            current=dataset.record,
            thresholds=self.thresholds,
        )
        return MonitoringReport.of(record, self.session)

    def reports(self) -> list[MonitoringReport]:
        """Every report of this monitor, oldest first."""
        records = self.session.ask(MonitorHooks.mlops_list_reports, monitor=self.name)
        return [MonitoringReport.of(record, self.session) for record in records]

    def search_alerts(self) -> list[AlertRecord]:
        """Every alert of this monitor, oldest first."""
        return [alert for report in self.reports() for alert in report.alerts]
