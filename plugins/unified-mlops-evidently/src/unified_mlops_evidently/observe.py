"""A snapshot as nodes, edges, and claims on what it knows by name only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from unified_mlops.lineage import urn
from unified_mlops.records import Alias, Claim, Edge, Node, Observation, Scalar
from unified_mlops_evidently import copies
from unified_mlops_evidently.convert import (
    COMPARED,
    ORIGINS,
    Finding,
    Snapshot,
    edge,
    fields,
    measured,
)
from unified_mlops_evidently.naming import place


def observation(stored: Snapshot, changed: float, copied: bool) -> Observation:
    """A report, a node for each metric that was tested, and what they observe.

    Args:
        stored: the snapshot.
        changed: when its file was last changed, in seconds.
        copied: whether any copy may come from the files that it names.
    """
    nodes = {node.uri: node for node in _nodes(stored)}
    unresolved = tuple(f"{stored.uri}: {text}" for text in stored.names.unknown)
    return Observation(
        stored.uri,
        tuple(nodes.values()),
        tuple(dict.fromkeys(_edges(stored))),
        unresolved,
        tuple(dict.fromkeys(_aliases(stored))) if copied else (),
        tuple(dict.fromkeys(_claims(stored))),
        changed,
    )


def _nodes(stored: Snapshot) -> Iterator[Node]:
    about: dict[str, Scalar] = {"project": stored.project, "time": stored.time.isoformat()}
    name, time = f"{stored.project} {stored.time:%Y-%m-%d %H:%M:%S}", stored.time.timestamp()
    yield Node(stored.uri, "report", name, about, time)
    for dataset in stored.datasets:
        yield Node(dataset, "dataset", dataset.rstrip("/").rpartition("/")[2])
    for finding in stored.findings:
        yield _metric(stored, finding)
        for dataset in stored.datasets if finding.column else ():
            yield Node(urn.column(dataset, finding.column), "column", finding.column)


def _metric(stored: Snapshot, finding: Finding) -> Node:
    about: dict[str, Scalar] = {"monitor": stored.project, "time": stored.time.isoformat()}
    if finding.column:
        about["column"] = finding.column
    if finding.score:
        about |= {"method": finding.score.method, "score": finding.score.value}
        about["threshold"] = finding.score.threshold
    kind, name = "alert" if finding.failed else "report", f"{stored.project}: {finding.name}"
    return Node(stored.metric(finding), kind, name, about, stored.time.timestamp())


def _edges(stored: Snapshot) -> Iterator[Edge]:
    for uri in (*stored.compared(*COMPARED), *stored.datasets):
        yield edge(uri, "OBSERVES", stored.uri)
    for finding in stored.findings:
        yield from measured(stored, finding)
        yield from fields(stored, finding)
    for dataset in (*stored.names.datasets, *map(urn.canonical, stored.copies)):
        yield from copies.stamps(dataset)
    for claim in _fingerprints(stored):
        yield edge(urn.owner(claim.thing), "FIELD", claim.thing)
    for column, sources in _origins(stored).items():
        for source in sources:
            yield edge(source, "DERIVES", column)
            yield edge(urn.owner(source), "DERIVES", urn.owner(column))


def _claims(stored: Snapshot) -> Iterator[Claim]:
    time = stored.time.timestamp()
    for model in stored.names.models:
        yield Claim(model, "OBSERVES", stored.uri, "model-text", time)
        for finding in stored.findings:
            if finding.column:
                thing = stored.metric(finding)
                yield Claim(model, "OBSERVES", thing, "report-column", time, finding.column)
    yield from _fingerprints(stored)


def _fingerprints(stored: Snapshot) -> Iterator[Claim]:
    for copy in stored.copies:
        yield from copies.claims(copy)


def _aliases(stored: Snapshot) -> Iterator[Alias]:
    held = set(map(urn.canonical, stored.copies))
    for dataset in stored.datasets:
        if dataset not in held:
            yield from copies.aliases(dataset)


def _origins(stored: Snapshot) -> dict[str, list[str]]:
    """The URNs that each compared column was made from, where a monitor of ours wrote them."""
    try:
        held: Any = json.loads(stored.metadata.get(ORIGINS, "{}"))
        pairs = [(place(column), sources) for column, sources in held.items()]
    except (ValueError, AttributeError):
        return {}
    return {
        column: [uri for text in sources if urn.is_column(uri := place(text))]
        for column, sources in pairs
        if column and isinstance(sources, list)
    }
