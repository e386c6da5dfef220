"""Standard tests of monitoring."""

# ruff: noqa: D102 - the name of a test says what it sees to

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import isfinite

import pytest

from unified_mlops.hookspecs import Hooks
from unified_mlops.records import AlertRecord, DatasetRecord, ReportRecord
from unified_mlops.testing.conformance.checks import check_record, needs, refused
from unified_mlops.testing.conformance.kit import Dataset, Kit, foreign_version

THRESHOLDS = {"größe": 0.1, "stadt": 0.1, "same": 0.1}


class MonitorConformance(Kit):
    """`MonitorHooks`: scores, alerts and the reports that hold them."""

    @pytest.fixture
    def reference(self, dataset: Dataset) -> DatasetRecord:
        """Rows as they were at training: numbers, text, and numbers that stay."""
        return dataset(
            "reference",
            {
                "größe": [float(n % 10) for n in range(100)],
                "stadt": ["Köln" if n % 2 else "Bonn" for n in range(100)],
                "same": list(range(100)),
                "unwatched": [0] * 100,
            },
        )

    @pytest.fixture
    def shifted(self, dataset: Dataset) -> DatasetRecord:
        """Rows of which all but `same` have moved far."""
        return dataset(
            "current",
            {
                "größe": [float(n % 10) + 50 for n in range(100)],
                "stadt": ["Ulm" for _ in range(100)],
                "same": list(range(100)),
                "unwatched": [1] * 100,
            },
        )

    # --- run_monitor ---

    def test_run_monitor__scores_identical_data_with_zero(
        self, hooks: Hooks, name: str, reference: DatasetRecord
    ) -> None:
        report = _run(hooks, name, reference, reference, THRESHOLDS)
        check_record(report, ReportRecord, "report")
        assert [score.value for score in report.scores.values()] == pytest.approx([0, 0, 0])
        assert report.alerts == ()
        assert report.monitor == name and report.time is not None

    def test_run_monitor__compares_the_columns_of_the_thresholds_and_no_others(
        self, hooks: Hooks, name: str, reference: DatasetRecord, shifted: DatasetRecord
    ) -> None:
        report = _run(hooks, name, reference, shifted, THRESHOLDS)
        assert {key: score.threshold for key, score in report.scores.items()} == THRESHOLDS
        for score in report.scores.values():
            assert score.method and isfinite(score.value) and score.value >= 0

    def test_run_monitor__alerts_for_the_columns_that_moved(
        self, hooks: Hooks, name: str, reference: DatasetRecord, shifted: DatasetRecord
    ) -> None:
        report = _run(hooks, name, reference, shifted, THRESHOLDS)
        alerts = {alert.column: alert for alert in report.alerts}
        assert sorted(alerts) == ["größe", "stadt"]
        for column, alert in alerts.items():
            check_record(alert, AlertRecord, "alert")
            assert alert.monitor == name and alert.score == report.scores[column]
            assert alert.ref.plugin == report.ref.plugin
        assert len({alert.ref.uri for alert in report.alerts}) == 2

    def test_run_monitor__honours_a_threshold_of_zero(
        self, hooks: Hooks, name: str, reference: DatasetRecord, dataset: Dataset
    ) -> None:
        towns = ["Köln" if n % 2 or n < 4 else "Bonn" for n in range(100)]
        nudged = dataset("nudged", {"stadt": towns, "same": list(range(100))})
        report = _run(hooks, name, reference, nudged, {"stadt": 0, "same": 0})
        assert [alert.column for alert in report.alerts] == ["stadt"]
        assert [score.threshold for score in report.scores.values()] == [0, 0]

    def test_run_monitor__stays_quiet_below_the_threshold(
        self, hooks: Hooks, name: str, reference: DatasetRecord, shifted: DatasetRecord
    ) -> None:
        report = _run(hooks, name, reference, shifted, dict.fromkeys(THRESHOLDS, 1e9))
        assert report.alerts == ()

    @needs("list_reports")
    def test_run_monitor__refuses_an_unknown_column_and_keeps_no_report(
        self, hooks: Hooks, name: str, reference: DatasetRecord, shifted: DatasetRecord
    ) -> None:
        with refused():
            _run(hooks, name, reference, shifted, {"stadt": 0.1, "none": 0.1})
        assert not hooks.mlops_list_reports(monitor=name)

    @needs("list_reports")
    def test_run_monitor__refuses_a_file_that_is_gone_and_keeps_no_report(
        self, hooks: Hooks, name: str, reference: DatasetRecord
    ) -> None:
        gone = replace(reference, ref=replace(reference.ref, uri=f"{reference.ref.uri}.gone"))
        with refused():
            _run(hooks, name, reference, gone, THRESHOLDS)
        assert not hooks.mlops_list_reports(monitor=name)

    # --- list_reports ---

    @needs("run_monitor")
    def test_list_reports__returns_the_oldest_first(
        self, hooks: Hooks, name: str, reference: DatasetRecord, shifted: DatasetRecord
    ) -> None:
        made = [
            _run(hooks, name, reference, shifted, {"stadt": limit}) for limit in (0.3, 0.2, 0.1)
        ]
        found = hooks.mlops_list_reports(monitor=name)
        assert [report.ref for report in found] == [report.ref for report in made]
        for report in found:
            check_record(report, ReportRecord, "report")

    @needs("run_monitor")
    def test_list_reports__returns_scores_and_alerts_as_they_were(
        self, hooks: Hooks, name: str, reference: DatasetRecord, shifted: DatasetRecord
    ) -> None:
        made = _run(hooks, name, reference, shifted, THRESHOLDS)
        (found,) = hooks.mlops_list_reports(monitor=name)
        assert (found.monitor, found.scores) == (made.monitor, made.scores)
        assert [(alert.ref, alert.column, alert.score) for alert in found.alerts] == [
            (alert.ref, alert.column, alert.score) for alert in made.alerts
        ]

    @needs("run_monitor")
    def test_list_reports__keeps_monitors_apart(
        self, hooks: Hooks, name: str, reference: DatasetRecord
    ) -> None:
        _run(hooks, name, reference, reference, {"stadt": 0.1})
        assert not hooks.mlops_list_reports(monitor=f"{name} zwei")


def _run(
    hooks: Hooks,
    monitor: str,
    reference: DatasetRecord,
    current: DatasetRecord,
    thresholds: Mapping[str, float],
) -> ReportRecord:
    return hooks.mlops_run_monitor(
        monitor=monitor,
        subject=foreign_version("delay", "1"),
        reference=reference,
        current=current,
        thresholds=thresholds,
    )
