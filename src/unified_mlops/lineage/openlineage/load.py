"""OpenLineage events as observations.

The state of a run goes by rank, never by arrival: what ends a run stands, however late its START
comes or how wrong its clock is. What a START says of outputs is a promise: it holds once the run is
known to be complete, and a run that fails keeps none. Where an event says explicitly what was made
of what, that is taken; otherwise a run read its inputs and wrote its outputs. That every output was
made of every input is never taken for granted, and Feast's `apply`, which links all sources with
all views, links nothing here: its registry says what is true.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

from unified_mlops.errors import ArgumentError, LineageError, store_error
from unified_mlops.lineage.openlineage.datasets import RULE, Datasets, items, part, required, text
from unified_mlops.lineage.openlineage.naming import DERIVATION, OURS, PRODUCER
from unified_mlops.lineage.urn import canonical, without_secrets
from unified_mlops.records import (
    CONTEXTS,
    EXECUTIONS,
    Alias,
    Claim,
    Edge,
    EdgeKind,
    Node,
    Observation,
    Scalar,
)

COLLECTOR = "openlineage"
"""By whose name the observations are kept."""

_ENDED = {"COMPLETE": "COMPLETE", "FAIL": "FAILED", "ABORT": "CANCELLED"}
_GOING = {"RUNNING": 2, "START": 1}
_LATEST = 1e12


def read(path: Path) -> list[Observation]:
    """The observations of a file of events, one JSON object a line.

    Raises:
        ArgumentError: a line is no event; none of the file is taken.
        BackendError: the file cannot be read.
    """
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError as error:
        raise store_error(f"the file {str(path)!r}", error, mend="give a file of events") from error
    found = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                found += observations(line)
            except ArgumentError as error:
                raise ArgumentError(
                    f"line {number} of {str(path)!r}: {error.fact}", hint=error.hint
                ) from error
    return found


def observations(body: str | bytes) -> list[Observation]:
    """The observations of JSON text: of one event, or of a list of them.

    Raises:
        ArgumentError: it is no JSON, or no event.
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        said = error.msg if isinstance(error, json.JSONDecodeError) else "it cannot be decoded"
        raise ArgumentError(
            f"this is no JSON: {said}", hint="send one OpenLineage event as a JSON object"
        ) from error
    return [observation(event) for event in (found if isinstance(found, list) else [found])]


def observation(event: Mapping[str, Any]) -> Observation:
    """What one event says: of a run, of a job, or of a dataset alone.

    Args:
        event: an OpenLineage event as plain values.

    Raises:
        ArgumentError: it is no such event.
    """
    if not isinstance(event, Mapping) or not event.keys() & {"job", "dataset"}:
        raise ArgumentError(
            "an OpenLineage event has a run and a job, a job, or a dataset",
            hint="see https://openlineage.io/apidocs/openapi",
        )
    time = _time(event)
    datasets = Datasets(ours=event.get("producer") == PRODUCER)
    if "job" not in event:
        uri = datasets.add(_object(event, "dataset"))
        made = datasets.derived(_object(event, "dataset"))
        return _observed(f"openlineage:dataset/{uri}", datasets, (), made, time)
    job = _object(event, "job")
    key, nodes, edges = _doer(event, job, time)
    if _is_definition(event, job):
        datasets.add_defined([*items(event, "inputs"), *items(event, "outputs")])
        return _observed(key, datasets, (), (), time)
    if _is_derivation(job):
        nodes, edges = [], []
    doer = nodes[0].uri if nodes else ""
    edges += _moved(event, job, datasets, doer)
    said = _observed(key, datasets, nodes, edges, _say(event, time))
    ours = event.get("producer") == PRODUCER  # each run is told once, as it stands
    return said if ours else _promised(said, doer, text(event, "eventType").upper())


def _promised(said: Observation, doer: str, kind: str) -> Observation:
    """What an event says of a run, whose START is true of its outputs if it completes."""
    name = f"complete:{said.key}"
    if kind == "COMPLETE" and doer:
        return replace(said, aliases=(*said.aliases, Alias(name, doer)))
    if kind != "START":
        return said
    made = [edge.target for edge in said.edges if edge.kind == "OUTPUT"]
    claims = (Claim(name, "OUTPUT", uri, "openlineage-promise") for uri in made)
    edges = (edge for edge in said.edges if edge.kind not in ("OUTPUT", "DERIVES", "OBSERVES"))
    return replace(said, edges=tuple(edges), claims=tuple(claims))


def _moved(
    event: Mapping[str, Any], job: Mapping[str, Any], datasets: Datasets, doer: str
) -> Iterator[Edge]:
    """What was read and written, if anybody did, and what was made of what."""
    inputs = [datasets.add(one) for one in items(event, "inputs")]
    outputs = [datasets.add(one) for one in items(event, "outputs")]
    if doer:
        yield from (_edge(uri, "INPUT", doer) for uri in inputs if uri)
        yield from (_edge(doer, "OUTPUT", uri) for uri in outputs if uri)
    for one in items(event, "outputs"):
        yield from datasets.derived(one)
    yield from datasets.explicit(part(job, "facets", "lineage"), doer)


def _observed(
    key: str, datasets: Datasets, nodes: Iterable[Node], edges: Iterable[Edge], time: float
) -> Observation:
    """Everything that was gathered, each thing once."""
    made = list(edges)  # which may describe more columns
    return Observation(
        key,
        (*nodes, *datasets.nodes()),
        tuple(dict.fromkeys((*datasets.fields(), *made))),
        tuple(dict.fromkeys(datasets.unresolved)),
        aliases=tuple(dict.fromkeys(datasets.aliases)),
        time=time,
    )


def _doer(
    event: Mapping[str, Any], job: Mapping[str, Any], time: float
) -> tuple[str, list[Node], list[Edge]]:
    """The key of an event; who read and wrote, and what that belongs to; how they belong."""
    whole = _job_node(job)
    if "run" not in event:
        return whole.uri, [whole], []
    run = _object(event, "run")
    key = _run_uri(required(run, "runId"))
    uri = whole.uri if text(job, "namespace") == OURS else key
    kind = whole.kind if uri == whole.uri else "run"
    attributes: dict[str, Scalar] = {}
    if state := _state(event):
        attributes["state"] = state
    nodes = [Node(uri, kind, whole.name, attributes, time)]
    edges = []
    if uri != whole.uri:
        attributes["job"] = whole.uri.removeprefix("openlineage:job/")
        nodes.append(whole)
        edges.append(_edge(whole.uri, "PARENT_OF", uri))
    parent = part(run, "facets", "parent") or part(run, "facets", "parentRun")
    if above := _parent_node(parent):
        nodes.append(above)
        edges.append(_edge(above.uri, "PARENT_OF", uri))
    return key, nodes, edges


def _job_node(job: Mapping[str, Any]) -> Node:
    """A job, or the thing itself where the event is one of ours."""
    namespace, name = required(job, "namespace"), required(job, "name")
    facets = part(job, "facets")
    if namespace == OURS:
        kind = text(part(facets, "jobType"), "jobType").lower()
        kind = kind if kind in EXECUTIONS | CONTEXTS else "run"
        shown = text(part(facets, "documentation"), "description")
        return Node(_our_urn(name), kind, without_secrets(shown or name))
    names = [without_secrets(one) for one in (namespace, name)]
    mark = "/".join(quote(one, safe="") for one in names)
    return Node(f"openlineage:job/{mark}", "job", names[1])


def _our_urn(name: str) -> str:
    try:
        return name if name.startswith(DERIVATION) else canonical(name)
    except LineageError as error:
        raise ArgumentError(error.fact, hint="jobs of ours are named by their URN") from error


def _parent_node(facet: Mapping[str, Any]) -> Node | None:
    job = part(facet, "job")
    number = text(part(facet, "run"), "runId")
    if not (number and text(job, "namespace") and text(job, "name")):
        return None
    above = _job_node(job)
    ours = text(job, "namespace") == OURS
    return above if ours else Node(_run_uri(number), "run", above.name)


def _run_uri(number: str) -> str:
    return f"openlineage:run/{quote(number, safe='')}"


def _edge(source: str, kind: EdgeKind, target: str) -> Edge:
    return Edge(source, kind, target, "recorded", RULE)


def _is_derivation(job: Mapping[str, Any]) -> bool:
    """Whether a job is nothing but a derivation that we exported."""
    return text(job, "namespace") == OURS and text(job, "name").startswith(DERIVATION)


def _is_definition(event: Mapping[str, Any], job: Mapping[str, Any]) -> bool:
    """Whether an event tells what Feast's registry holds, and no work that was done."""
    if text(part(job, "facets", "feast_jobKind"), "kind") == "definition":
        return True
    ours = "feast" in text(event, "producer").lower()
    return ours and text(job, "name").startswith("feast_feature_views_")


# --- states and times --------------------------------------------------------------------------


def _state(event: Mapping[str, Any]) -> str:
    kind = text(event, "eventType").upper()
    return _ENDED.get(kind, "RUNNING" if kind in _GOING else "")


def _say(event: Mapping[str, Any], time: float) -> float:
    """The time by which an observation is the latest word on a run.

    What does not end a run has next to no say, whatever its clock showed.
    """
    kind = text(event, "eventType").upper()
    if kind in _ENDED or "run" not in event:
        return max(time, float(len(_GOING) + 1))
    return _GOING.get(kind, 0) + time / _LATEST


def _time(event: Mapping[str, Any]) -> float:
    """The time of an event in seconds; without a zone it is UTC."""
    shown = text(event, "eventTime")
    whole = re.sub(r"\.(\d+)", lambda found: f".{found[1][:6].ljust(6, '0')}", shown)
    try:
        time = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", whole))
        return (time if time.tzinfo else time.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, OverflowError) as error:
        raise ArgumentError(
            f"'eventTime' is no time: {shown[:40]!r}", hint="such as 2024-01-01T12:00:00Z"
        ) from error


def _object(event: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = event.get(key)
    if not isinstance(found, Mapping):
        raise ArgumentError(f"{key!r} is no object", hint="send it as OpenLineage has it")
    return found
