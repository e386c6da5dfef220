"""Lineage out of the endpoints' own files: what is deployed where, and what it answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from unified_mlops.records import Collection, Edge, Node, Observation
from unified_mlops_ray.endpoints import Endpoints, Held

Seen = dict[str, list[int]]
"""The cursor: for each endpoint, when its file was written and how much of its log was read."""


def collect(endpoints: Endpoints, cursor: str | None) -> Collection:
    """What has been deployed and answered since the cursor."""
    names = endpoints.names()
    if not names:
        return Collection((), None)
    seen: Seen = json.loads(cursor) if cursor else {}
    found: list[Observation] = []
    for name in names:
        written, offset = seen.get(name, [0, 0])
        changed = (endpoints.folder / f"{name}.yaml").stat().st_mtime_ns
        if changed != written:
            found.append(_endpoint(endpoints.load(name)))
        calls, offset = _calls(endpoints, name, offset)
        found.extend(calls)
        seen[name] = [changed, offset]
    return Collection(found, json.dumps(seen))


def _endpoint(held: Held) -> Observation:
    name = held["name"]
    uri = _uri(name)
    nodes = [Node(uri, "endpoint", name)]
    edges = []
    for item in held["deployments"]:
        model = item["model"]
        shown = f"{item['model_name']}@{item['model_version']}"
        nodes.append(Node(model["uri"], model["kind"], shown))
        edges.append(Edge(model["uri"], "DERIVES", uri, "recorded", "ray.endpoint"))
    return Observation(f"endpoint/{name}", tuple(nodes), tuple(dict.fromkeys(edges)))


def _calls(endpoints: Endpoints, name: str, offset: int) -> tuple[list[Observation], int]:
    """The calls that were logged whole since the offset, and where the next one will start."""
    path = endpoints.requests(name)
    if not path.is_file():
        return [], 0
    with path.open("rb") as log:
        log.seek(offset if offset <= path.stat().st_size else 0)  # a log that was begun anew
        start = log.tell()
        text = log.read()
    whole = text[: text.rfind(b"\n") + 1]
    return list(_observations(path, name, start, whole)), start + len(whole)


def _observations(path: Path, name: str, start: int, text: bytes) -> Iterator[Observation]:
    for line in text.splitlines(keepends=True):
        try:
            yield _prediction(name, json.loads(line))
        except (ValueError, KeyError, TypeError):  # a line that a full disk cut short
            place = f"{path}:{start}"
            yield Observation(place, (), (), unresolved=(place,))
        start += len(line)


def _prediction(name: str, call: dict[str, Any]) -> Observation:
    uri = f"prediction:{call['id']}"
    attributes = {
        "endpoint": _uri(name),
        "time": call["time"],
        "deployment": call["deployment"],
        "instances": len(call["instances"]),
    }
    edges = (
        Edge(call["model"], "DERIVES", uri, "recorded", "ray.requests"),
        Edge(call["model"], "DERIVES", _uri(name), "recorded", "ray.requests"),  # it was deployed
    )
    return Observation(uri, (Node(uri, "prediction", call["id"], attributes),), edges)


def _uri(name: str) -> str:
    return f"ray://local/serve/{quote(name)}"
