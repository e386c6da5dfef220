"""Lineage out of the endpoints' files, Ray Data's logs and, where one is configured, a cluster."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from unified_mlops.errors import BackendError
from unified_mlops.records import Alias, Claim, Collection, Edge, Node, Observation
from unified_mlops_ray import dashboard, data, deployments, jobs, logs, serve
from unified_mlops_ray.deployments import Held
from unified_mlops_ray.endpoints import Endpoints

Seen = dict[str, Any]
"""The cursor: what was seen of `endpoints`, `data` and, by session, `jobs` and `apps`."""


class Collector:
    """What has happened since a cursor.

    Args:
        endpoints: the endpoints of this process.
        logs: the folder of Ray Data's logs.
        dashboard: the URL of a cluster's dashboard, if it is configured.
        address: the address of a cluster, if it is configured.
    """

    def __init__(
        self, endpoints: Endpoints, logs: Path, dashboard: str | None, address: str | None
    ) -> None:
        self._endpoints = endpoints
        self._logs = logs
        self._dashboard = dashboard
        self._address = address

    def collect(self, cursor: str | None) -> Collection:
        """Read every source; one that fails is a problem, and is left for the next time."""
        seen: Seen = json.loads(cursor) if cursor else {}
        sources: list[Callable[[Seen], list[Observation]]] = [
            *(self._source(name) for name in self._endpoints.names()),
            self._data,
            self._cluster,
        ]
        found: list[Observation] = []
        failures: list[BackendError] = []
        for source in sources:
            try:
                found += source(seen)
            except BackendError as error:
                failures.append(error)
        return Collection(found, json.dumps(seen) if seen else None, failures)

    def _source(self, name: str) -> Callable[[Seen], list[Observation]]:
        return lambda seen: self._endpoint(name, seen.setdefault("endpoints", {}))

    def _endpoint(self, name: str, seen: Seen) -> list[Observation]:
        written, offset = seen.get(name, [0, 0])
        changed = (self._endpoints.folder / f"{name}.yaml").stat().st_mtime_ns
        found = []
        if changed != written:
            held = self._endpoints.load(name)
            found.append(_endpoint(held, self._endpoints.scope, changed / 1e9))
        lines, offset = logs.read(self._endpoints.requests(name), offset)
        seen[name] = [changed, offset]
        uri = deployments.uri(self._endpoints.scope, name)
        return [*found, *(_call(uri, place, line) for place, line in lines)]

    def _data(self, seen: Seen) -> list[Observation]:
        if not self._logs.is_dir():
            return []
        return data.observations(self._logs, seen.setdefault("data", {}))

    def _cluster(self, seen: Seen) -> list[Observation]:
        known = seen.get("dashboard", "")
        cluster = dashboard.find(self._dashboard, self._address, known)
        if cluster is None:
            return []
        before = seen if seen.get("session") == cluster.session else {}
        # another address may be of a cluster beside this one, which goes on
        apps = seen.get("apps", {}) if known == cluster.url else {}
        try:
            begun, marks = jobs.observations(cluster, set(before.get("jobs", ())))
            served, apps = serve.observations(cluster, apps)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise BackendError(
                f"the Ray cluster {cluster.session!r} answers in a form that is not known here",
                hint="pip install --upgrade unified-mlops-ray",
            ) from error
        seen |= {"dashboard": cluster.url, "session": cluster.session, "jobs": marks, "apps": apps}
        return [*begun, *served]


def _endpoint(held: Held, scope: str, changed: float) -> Observation:
    uri = deployments.uri(scope, held["name"])
    nodes = {uri: Node(uri, "endpoint", held["name"])}
    for item in [*held.get("history", ()), *held["deployments"]]:
        model = item["model"]
        shown = f"{item['model_name']}@{item['model_version']}"
        nodes[model["uri"]] = Node(model["uri"], model["kind"], shown)
    edges = deployments.edges(held, scope, "recorded")
    return Observation(uri, tuple(nodes.values()), edges, time=changed)


def _call(endpoint: str, place: str, call: dict[str, Any] | None) -> Observation:
    try:
        return _prediction(endpoint, call or {})
    except (ValueError, KeyError, TypeError):
        return Observation(place, unresolved=(place,))


def _prediction(endpoint: str, call: dict[str, Any]) -> Observation:
    """One call that was answered: by one model, whatever else was deployed."""
    uri, model = f"prediction:{call['id']}", str(call["model"])
    attributes = {
        "endpoint": endpoint,
        "time": call["time"],
        "deployment": call["deployment"],
        "instances": len(call["instances"]),
    }
    time = datetime.fromisoformat(call["time"]).timestamp()
    named = bool(serve.MODEL_TEXT.fullmatch(model))
    requests = dict.fromkeys([str(call["id"]), str(call.get("request") or call["id"])])
    return Observation(
        uri,
        (Node(uri, "prediction", call["id"], attributes, time),),
        () if named else (Edge(model, "DERIVES", uri, "recorded", "ray.requests"),),
        aliases=tuple(Alias(f"request:{each}", uri) for each in requests),
        claims=(Claim(model, "DERIVES", uri, "model-text", at=time),) if named else (),
    )
