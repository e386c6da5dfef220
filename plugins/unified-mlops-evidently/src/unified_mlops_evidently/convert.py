"""Evidently's snapshots as records, nodes and edges; its errors as ours."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from unified_mlops.errors import BackendError
from unified_mlops.lineage import urn
from unified_mlops.records import (
    AlertRecord,
    DatasetRecord,
    Edge,
    EdgeKind,
    Ref,
    ReportRecord,
    Score,
)
from unified_mlops_evidently.naming import Names, names, place

PLUGIN = "evidently"
COMPARED = ("unified_mlops.subject", "unified_mlops.reference", "unified_mlops.current")
"""The keys of a snapshot's metadata that hold the URNs of what was compared, and for whom."""

ORIGINS = "unified_mlops.origins"
"""The key under which the URNs stand that each compared column was made from, as JSON."""

_RULE = "evidently.metadata"
_UPPER_BOUNDS = frozenset({"le", "lt", "drift"})  # ids of Evidently's tests


@dataclass(frozen=True, slots=True)
class Finding:
    """A metric that was tested, or a drift: its score, where a threshold bounds it above."""

    id: str
    name: str
    column: str
    score: Score | None
    failed: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What we read of a stored snapshot, whoever made it."""

    id: str
    project: str
    time: datetime
    metadata: Mapping[str, str]
    names: Names
    findings: tuple[Finding, ...]
    copies: tuple[Path, ...] = ()

    @property
    def uri(self) -> str:
        """The URN of the report."""
        return f"evidently:snapshot/{self.id}"

    def metric(self, finding: Finding) -> str:
        """The URN of a metric; where its test failed, of the alert that it is."""
        return f"{self.uri}/metric/{finding.id}"

    def compared(self, *keys: str) -> tuple[str, ...]:
        """The URNs that stand under our keys of the metadata."""
        return tuple(uri for key in keys if (uri := place(self.metadata.get(key))))

    @property
    def datasets(self) -> tuple[str, ...]:
        """The URNs of all data that is known to have been compared: named, or copied."""
        copies = map(urn.canonical, self.copies)
        return tuple(dict.fromkeys((*self.compared(*COMPARED[1:]), *self.names.datasets, *copies)))


def snapshot(
    file: Path, project: str, body: Mapping[str, Any], copies: tuple[Path, ...] = ()
) -> Snapshot:
    """A snapshot from the content of its file.

    Args:
        file: where it lies.
        project: the name of its project.
        body: what the file holds.
        copies: the files that hold copies of its data.

    Raises:
        BackendError: it is not what Evidently writes.
    """
    try:
        return Snapshot(
            id=file.stem,
            project=urn.without_secrets(project),
            time=datetime.fromisoformat(body["timestamp"]).astimezone(),  # it writes local time
            metadata={k: v for k, v in body["metadata"].items() if isinstance(v, str)},
            names=names(body["metadata"], body.get("tags") or ()),
            findings=tuple(_findings(body["metric_results"])),
            copies=copies,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise foreign(file) from error


def origins(datasets: Sequence[DatasetRecord], columns: Iterable[str]) -> str:
    """What `ORIGINS` holds: for the URN of each compared column, those that it was made from."""
    made = {
        urn.column(data.ref.uri, name): data.columns[name]
        for data in datasets
        for name in columns
        if data.columns.get(name)
    }
    return json.dumps(made, sort_keys=True)


def report(stored: Snapshot) -> ReportRecord:
    """A snapshot as a record that carries the edges of its alerts."""
    scores: dict[str, Score] = {}
    alerts: list[AlertRecord] = []
    edges: list[Edge] = []
    for finding in stored.findings:
        if not finding.score or not finding.column:
            continue
        scores.setdefault(finding.column, finding.score)
        if finding.failed:
            alerts.append(_alert(stored, finding, finding.score))
            edges += [*alerts[-1].edges, *fields(stored, finding)]
    return ReportRecord(
        ref=Ref(PLUGIN, "report", stored.id, stored.uri),
        edges=tuple(dict.fromkeys(edges)),
        monitor=stored.project,
        scores=scores,
        alerts=tuple(alerts),
        time=stored.time,
    )


def damaged(file: Path) -> BackendError:
    """The error for a file of the workspace that is not what Evidently writes."""
    return BackendError(f"{str(file)!r} is damaged", hint=f"move it away: mv '{file}' '{file}.bad'")


def foreign(file: Path) -> BackendError:
    """The error for a file that is whole, and not of the form that we know."""
    return BackendError(
        f"{str(file)!r} is damaged, or written by an Evidently that is not known here",
        hint="pip install --upgrade unified-mlops-evidently, or move it away",
    )


def unusable(where: Path, error: OSError) -> BackendError:
    """The error for a workspace that the system does not let us read or write."""
    reason = (error.strerror or str(error)).lower()
    return BackendError(
        f"the Evidently workspace {str(where)!r} cannot be used: {reason}",
        hint="free its disk or its folder, or set another: [plugins.evidently] path = '...'",
    )


def _findings(results: Mapping[str, Any]) -> Iterator[Finding]:
    for id_, result in results.items():
        tests = result.get("tests") or []
        params = result["metric_value_location"]["metric"]["params"]
        column = str(params.get("column") or "")
        drift = str(params["type"]).endswith(":ValueDrift") and column
        if tests or drift:
            failed = any(test["status"] == "FAIL" for test in tests)
            score = _score(result, params, tests[0]) if len(tests) == 1 else None
            name = urn.without_secrets(str(result["display_name"]))
            yield Finding(id_, name, column, score, failed)


def _score(
    result: Mapping[str, Any], params: Mapping[str, Any], test: Mapping[str, Any]
) -> Score | None:
    """The score of one test, where it fails above its threshold as ours do: no p-values."""
    value = result.get("value")
    threshold = test["test_config"].get("threshold", params.get("threshold"))
    if test["id"] not in _UPPER_BOUNDS or not isinstance(threshold, float | int):
        return None
    if not isinstance(value, float | int):
        return None
    method = params.get("method") or str(params["type"]).rpartition(":")[2]
    score = Score(str(method), float(value), float(threshold))
    return score if score.drifted == (test["status"] == "FAIL") else None


def _alert(stored: Snapshot, finding: Finding, score: Score) -> AlertRecord:
    return AlertRecord(
        ref=Ref(PLUGIN, "alert", f"{stored.id}/{finding.id}", stored.metric(finding)),
        edges=tuple(measured(stored, finding)),
        monitor=stored.project,
        column=finding.column,
        score=score,
        time=stored.time,
    )


def measured(stored: Snapshot, finding: Finding) -> Iterator[Edge]:
    """What a metric, or the alert that it is, was made from."""
    yield edge(stored.uri, "DERIVES", stored.metric(finding))
    if finding.column:
        for dataset in stored.datasets:
            column = urn.column(dataset, finding.column)
            yield edge(column, "OBSERVES", stored.metric(finding))


def fields(stored: Snapshot, finding: Finding) -> Iterator[Edge]:
    """The measured column as one of each dataset that was compared."""
    if finding.column:
        for dataset in stored.datasets:
            yield edge(dataset, "FIELD", urn.column(dataset, finding.column))


def edge(source: str, kind: EdgeKind, target: str) -> Edge:
    """An edge of which a snapshot says so."""
    return Edge(source, kind, target, "recorded", _RULE)
