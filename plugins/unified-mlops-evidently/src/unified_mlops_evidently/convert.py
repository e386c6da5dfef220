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
    Node,
    Observation,
    Ref,
    ReportRecord,
    Scalar,
    Score,
)

PLUGIN = "evidently"
COMPARED = ("unified_mlops.subject", "unified_mlops.reference", "unified_mlops.current")
"""The keys of a snapshot's metadata that hold the URNs of what was compared, and for whom."""

ORIGINS = "unified_mlops.origins"
"""The key under which the URNs stand that each compared column was made from, as JSON."""

_DATASETS = COMPARED[1:]
_RULE = "evidently.metadata"
_UPPER_BOUNDS = frozenset({"le", "lt", "drift"})  # ids of Evidently's tests


@dataclass(frozen=True, slots=True)
class Finding:
    """A metric with tests: its score, where that is a number which a threshold bounds above."""

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
    findings: tuple[Finding, ...]

    @property
    def uri(self) -> str:
        """The URN of the report."""
        return f"evidently:snapshot/{self.id}"

    def alert(self, finding: Finding) -> str:
        """The URN of the alert that a failed test is."""
        return f"{self.uri}/metric/{finding.id}"


def snapshot(file: Path, project: str, body: Mapping[str, Any]) -> Snapshot:
    """A snapshot from the content of its file.

    Raises:
        BackendError: it is not what Evidently writes.
    """
    try:
        return Snapshot(
            id=file.stem,
            project=project,
            time=datetime.fromisoformat(body["timestamp"]).astimezone(),  # it writes local time
            metadata={k: v for k, v in body["metadata"].items() if isinstance(v, str)},
            findings=tuple(_findings(body["metric_results"])),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise damaged(file) from error


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
            edges += [*alerts[-1].edges, *_fields(stored, finding)]
    return ReportRecord(
        ref=Ref(PLUGIN, "report", stored.id, stored.uri),
        edges=tuple(dict.fromkeys(edges)),
        monitor=stored.project,
        scores=scores,
        alerts=tuple(alerts),
        time=stored.time,
    )


def observation(stored: Snapshot) -> Observation:
    """A snapshot as nodes and edges: the report, an alert for each failed test, what they saw."""
    about: dict[str, Scalar] = {"project": stored.project, "time": stored.time.isoformat()}
    name = f"{stored.project} {stored.time:%Y-%m-%d %H:%M:%S}"
    nodes = [Node(stored.uri, "report", name, about)]
    edges = [_edge(uri, "OBSERVES", stored.uri) for uri in _named(stored, *COMPARED)]
    nodes += [Node(uri, "dataset", _last(uri)) for uri in _named(stored, *_DATASETS)]
    for finding in stored.findings:
        if finding.failed:
            nodes += _alert_nodes(stored, finding)
            edges += [*_alert_edges(stored, finding), *_fields(stored, finding)]
    for column, sources in json.loads(stored.metadata.get(ORIGINS, "{}")).items():
        for source in sources:
            edges.append(_edge(source, "DERIVES", column))
            edges.append(_edge(urn.owner(source), "DERIVES", urn.owner(column)))
    unique = {node.uri: node for node in nodes}
    return Observation(stored.uri, tuple(unique.values()), tuple(dict.fromkeys(edges)))


def damaged(file: Path) -> BackendError:
    """The error for a file of the workspace that is not what Evidently writes."""
    return BackendError(f"{str(file)!r} is damaged", hint=f"move it away: mv '{file}' '{file}.bad'")


def unusable(place: Path, error: OSError) -> BackendError:
    """The error for a workspace that the system does not let us read or write."""
    reason = (error.strerror or str(error)).lower()
    return BackendError(
        f"the Evidently workspace {str(place)!r} cannot be used: {reason}",
        hint="free its disk or its folder, or set another: [plugins.evidently] path = '...'",
    )


def _findings(results: Mapping[str, Any]) -> Iterator[Finding]:
    for id_, result in results.items():
        tests = result.get("tests") or []
        if tests:
            params = result["metric_value_location"]["metric"]["params"]
            failed = any(test["status"] == "FAIL" for test in tests)
            score = _score(result, params, tests[0]) if len(tests) == 1 else None
            column = str(params.get("column") or "")
            yield Finding(id_, str(result["display_name"]), column, score, failed)


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
        ref=Ref(PLUGIN, "alert", f"{stored.id}/{finding.id}", stored.alert(finding)),
        edges=tuple(_alert_edges(stored, finding)),
        monitor=stored.project,
        column=finding.column,
        score=score,
        time=stored.time,
    )


def _alert_edges(stored: Snapshot, finding: Finding) -> Iterator[Edge]:
    yield _edge(stored.uri, "DERIVES", stored.alert(finding))
    for dataset in _observed(stored, finding):
        yield _edge(urn.column(dataset, finding.column), "OBSERVES", stored.alert(finding))


def _fields(stored: Snapshot, finding: Finding) -> Iterator[Edge]:
    for dataset in _observed(stored, finding):
        yield _edge(dataset, "FIELD", urn.column(dataset, finding.column))


def _alert_nodes(stored: Snapshot, finding: Finding) -> Iterator[Node]:
    about: dict[str, Scalar] = {"monitor": stored.project, "time": stored.time.isoformat()}
    if finding.column:
        about["column"] = finding.column
    if finding.score:
        about |= {"method": finding.score.method, "score": finding.score.value}
        about["threshold"] = finding.score.threshold
    yield Node(stored.alert(finding), "alert", f"{stored.project}: {finding.name}", about)
    for dataset in _observed(stored, finding):
        yield Node(urn.column(dataset, finding.column), "column", finding.column)


def _observed(stored: Snapshot, finding: Finding) -> Iterator[str]:
    """The datasets whose column an alert is about."""
    if finding.column:
        yield from _named(stored, *_DATASETS)


def _named(stored: Snapshot, *keys: str) -> Iterator[str]:
    return (uri for key in keys if (uri := stored.metadata.get(key)))


def _edge(source: str, kind: EdgeKind, target: str) -> Edge:
    return Edge(source, kind, target, "recorded", _RULE)


def _last(uri: str) -> str:
    return uri.rstrip("/").rpartition("/")[2]
