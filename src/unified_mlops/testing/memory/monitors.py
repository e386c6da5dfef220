"""Monitoring in memory: the two statistics of Vertex Model Monitoring, in plain Python."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from math import log2
from typing import Any

from unified_mlops.errors import ArgumentError
from unified_mlops.hookspecs import MonitorHooks
from unified_mlops.lineage import urn
from unified_mlops.records import AlertRecord, DatasetRecord, Edge, Record, ReportRecord, Score
from unified_mlops.testing.memory.store import Store, missing

BINS = 10


class MemoryMonitors(Store, MonitorHooks):
    """Reports on pairs of parquet files."""

    def mlops_run_monitor(
        self,
        monitor: str,
        subject: Record,
        reference: DatasetRecord,
        current: DatasetRecord,
        thresholds: Mapping[str, float],
    ) -> ReportRecord:
        """Compare two datasets and keep the report."""
        before, after = _read(reference, thresholds), _read(current, thresholds)
        scores = {
            name: _score(before[name], after[name], limit) for name, limit in thresholds.items()
        }
        ref, now = self._ref("report"), datetime.now(timezone.utc)
        alerts = tuple(
            AlertRecord(ref=self._ref("alert"), monitor=monitor, column=name, score=score, time=now)
            for name, score in scores.items()
            if score.drifted
        )
        report = ReportRecord(ref=ref, monitor=monitor, scores=scores, alerts=alerts, time=now)
        edges = [Edge(seen.ref.uri, "OBSERVES", ref.uri) for seen in (subject, reference, current)]
        for alert in alerts:
            self._observe(alert.ref, alert.column, [Edge(ref.uri, "DERIVES", alert.ref.uri)])
            edges.append(Edge(urn.column(current.ref.uri, alert.column), "OBSERVES", alert.ref.uri))
        return self._keep(report, monitor, edges)

    def mlops_list_reports(self, monitor: str) -> Sequence[ReportRecord]:
        """Return the reports of a monitor."""
        return [report for report in self._all(ReportRecord) if report.monitor == monitor]


def _read(dataset: DatasetRecord, columns: Mapping[str, float]) -> dict[str, list[Any]]:
    import pyarrow.parquet as pq

    path = urn.path_of(dataset.ref.uri)
    if not path.is_file():
        raise missing(f"no file {str(path)!r}", ())
    have = pq.read_schema(path).names
    for name in columns:
        if name not in have:
            raise ArgumentError(
                f"{dataset.name!r} has no column {name!r}", hint=f"one of: {', '.join(have)}"
            )
    table: dict[str, list[Any]] = pq.read_table(path, columns=list(columns)).to_pydict()
    return table


def _score(before: Sequence[Any], after: Sequence[Any], threshold: float) -> Score:
    """Jensen-Shannon divergence of numbers, L-infinity distance of anything else."""
    values = [value for value in (*before, *after) if value is not None]
    if all(isinstance(value, int | float) for value in values):
        low, high = min(values), max(values)
        edges = [low + (high - low) * step / BINS for step in range(1, BINS)]
        p, q = (
            _shares([bisect_right(edges, v) for v in column if v is not None])
            for column in (before, after)
        )
        return Score("jensen_shannon_divergence", _divergence(p, q), threshold)
    p, q = _shares(before), _shares(after)
    distance = max(abs(p.get(key, 0) - q.get(key, 0)) for key in {*p, *q})
    return Score("l_infinity", distance, threshold)


def _shares(values: Sequence[Any]) -> dict[Any, float]:
    return {key: count / len(values) for key, count in Counter(values).items()}


def _divergence(p: Mapping[Any, float], q: Mapping[Any, float]) -> float:
    total = 0.0
    for key in {*p, *q}:
        mean = (p.get(key, 0) + q.get(key, 0)) / 2
        total += sum(share / 2 * log2(share / mean) for share in (p.get(key), q.get(key)) if share)
    return total
