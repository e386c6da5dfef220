"""The hooks that Evidently serves: monitoring, and the lineage of its reports."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from numbers import Real
from pathlib import Path
from typing import Any

from unified_mlops.errors import ArgumentError, ArgumentTypeError, ConfigError, NotFoundError
from unified_mlops.hookspecs import LineageHooks, MonitorHooks, PluginHooks
from unified_mlops.records import (
    UI,
    Check,
    Collection,
    DatasetRecord,
    Record,
    Ref,
    ReportRecord,
)
from unified_mlops_evidently import collect, convert, store, tables


class EvidentlyPlugin(MonitorHooks, LineageHooks, PluginHooks):
    """Drift by Vertex's statistics over all rows, kept as snapshots in an Evidently workspace.

    Args:
        workspace: the session's folder.
        path: the Evidently workspace, which `evidently ui --workspace` opens; `evidently` in the
            session's folder by default.
        sample: how many rows of each dataset Evidently is given for its pictures.

    Raises:
        ConfigError: `sample` is not a positive number.
    """

    def __init__(
        self, workspace: Path, path: str | Path | None = None, sample: int | str = 5000
    ) -> None:
        self._root = Path(path).expanduser() if path else workspace / "evidently"
        self._root = self._root.absolute()
        if not str(sample).isdecimal() or not int(sample):
            raise ConfigError(f"sample is {sample!r}", hint="[plugins.evidently] sample = 5000")
        self._sample = int(sample)

    def mlops_run_monitor(
        self,
        monitor: str,
        subject: Record,
        reference: DatasetRecord,
        current: DatasetRecord,
        thresholds: Mapping[str, float],
    ) -> ReportRecord:
        """Score every column over all rows, and keep the report as a snapshot of one project.

        :raises NotFoundError: a file that does not exist.
        :raises ArgumentError: columns that cannot be compared, before anything is written.
        :raises BackendError: the workspace cannot be written.
        """
        limits = _check(monitor, thresholds)
        before, now = tables.load(reference.ref.uri, current.ref.uri, list(limits))
        scores = {name: tables.score(before[name], now[name]) for name in limits}
        frames = {"reference": before, "current": now}
        frames = {side: tables.sample(table, self._sample) for side, table in frames.items()}
        compared = (subject.ref.uri, reference.ref.uri, current.ref.uri)
        metadata = dict(zip(convert.COMPARED, compared, strict=True))
        metadata[convert.ORIGINS] = convert.origins((reference, current), limits)
        _no_telemetry()
        from unified_mlops_evidently.metric import run_report

        snapshot = run_report(frames, scores, limits, metadata)
        return convert.report(store.write(self._root, monitor, snapshot))

    def mlops_list_reports(self, monitor: str) -> Sequence[ReportRecord]:
        """The reports of the projects of that name, whoever added them, oldest first."""
        found = (
            store.read(place)
            for project in store.projects(self._root)
            for place in store.places(project)
            if store.project_name(project) == monitor
        )
        return [convert.report(item) for item in sorted(found, key=lambda s: (s.time, s.id))]

    def mlops_collect_lineage(self, cursor: str | None) -> Collection:
        """Reports, alerts and what they observe, of every project in the workspace."""
        return collect.collect(self._root, cursor)

    def mlops_check_plugin(self) -> Check:
        """The installed Evidently and its workspace."""
        problem = ""
        if self._root.exists() and not self._root.is_dir():
            problem = f"{self._root} is not a folder"
        elif self._root.exists() and not os.access(self._root, os.R_OK | os.W_OK | os.X_OK):
            problem = f"{self._root} cannot be read and written"
        return Check("evidently", "evidently", version("evidently"), str(self._root), problem)

    def mlops_describe_ui(self) -> UI:
        """Evidently's own page on the workspace."""
        place = ("--workspace", str(self._root), "--host", "127.0.0.1", "--port", "{port}")
        command = (sys.executable, "-m", "evidently.cli", "ui", *place)
        return UI("evidently", "Evidently", command, 8000, {"DO_NOT_TRACK": "1"})

    def mlops_get_native(self, ref: Ref) -> Any:
        """Evidently's `Snapshot` of a report, or the metric result behind an alert.

        :raises NotFoundError: the workspace does not have it.
        """
        id_, _, metric = ref.id.partition("/")
        place = store.find(self._root, id_)
        store.read(place)  # says which file is damaged
        _no_telemetry()
        from evidently.core.report import Snapshot

        snapshot = Snapshot.load(place.file)
        if not metric:
            return snapshot
        if metric not in snapshot.metric_results:
            raise NotFoundError(f"no metric {metric!r} in {id_!r}", hint="list the reports again")
        return snapshot.metric_results[metric]


def _check(monitor: str, thresholds: Mapping[str, float]) -> dict[str, float]:
    """The thresholds as floats by column.

    Raises:
        ArgumentError: there are none, one that no distance can be held against, or no name.
        ArgumentTypeError: one that is no number.
    """
    if not monitor.strip():
        raise ArgumentError("a monitor needs a name", hint="monitor='delay'")
    if not thresholds:
        raise ArgumentError("a monitor without thresholds sees nothing", hint="{'distance': 0.3}")
    for column, threshold in thresholds.items():
        number: object = threshold  # whatever was given
        if isinstance(number, bool) or not isinstance(number, Real):
            raise ArgumentTypeError(
                f"the threshold of {column!r} is {threshold!r}", hint=f"{{{column!r}: 0.3}}"
            )
        if not math.isfinite(threshold) or threshold < 0:
            raise ArgumentError(
                f"the threshold of {column!r} is {threshold!r}", hint="distances are from 0 to 1"
            )
    return {column: float(threshold) for column, threshold in thresholds.items()}


def _no_telemetry() -> None:
    os.environ.setdefault("DO_NOT_TRACK", "1")
