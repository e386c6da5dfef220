"""Ray Serve's applications: which deployment was given which model, by its `user_config`.

What an application was bound to (`Deployment.bind(...)`) is pickled, and the dashboard does not
show it: a model that is named there alone cannot be known.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from unified_mlops.errors import LineageError
from unified_mlops.lineage.urn import canonical
from unified_mlops.records import Claim, Edge, Node, Observation
from unified_mlops_ray.dashboard import Cluster
from unified_mlops_ray.secrets import is_secret

MODEL_TEXT = re.compile(r"models:/(?!/)[^\s?#]+")
_PLACES = re.compile(r"(?i)(file|s3[an]?|gs|gcs|abfss?|wasbs?|hdfs)://[^\s]+|/[^\s]+")
_RULE = "ray.serve"

Served = dict[str, Any]
"""What is remembered of a deployment: its application, since when, and which models it has."""


def observations(
    cluster: Cluster, seen: Mapping[str, Served]
) -> tuple[list[Observation], dict[str, Served]]:
    """What was deployed and what ended since, and what is deployed now, by URN.

    Args:
        cluster: whose applications.
        seen: what was returned before.

    Raises:
        BackendError: the cluster does not answer.
    """
    found: list[Observation] = []
    now: dict[str, Served] = {}
    for name, app in cluster.ask("/api/serve/applications/")["applications"].items():
        place = f"{cluster.uri}/serve/{quote(name, safe='')}"
        if app.get("status") in {"DEPLOYING", "NOT_STARTED"}:  # not all of it is there yet
            now |= {part: held for part, held in seen.items() if held["app"] == place}
        elif app.get("status") != "DELETING":
            for each, deployed in (app.get("deployments") or {}).items():
                part = f"{place}/{quote(each, safe='')}"
                now[part] = {"app": place, **_served(app, deployed, seen.get(part))}
                if now[part] != seen.get(part):
                    found.append(_observation(cluster, (name, each), app, now[part]))
    for part, held in seen.items():
        if now.get(part) != held:
            found += _ended(part, held, _end(part, held, now))
    return found, now


def _served(app: Mapping[str, Any], deployed: Mapping[str, Any], before: Served | None) -> Served:
    """Which models a deployment has, and since when.

    When an application was deployed anew from Python is recorded nowhere (`last_deployed_time_s`
    stays that of the first time, Ray 2.60), but its replicas are new ones then, and they load the
    models. Where only the `user_config` changed they stay: then it is when that is seen.
    """
    models = _models((deployed.get("deployment_config") or {}).get("user_config"))
    replicas = [one for one in deployed.get("replicas") or () if one.get("state") == "RUNNING"]
    start = min((float(one.get("start_time_s") or 0) for one in replicas), default=0.0)
    since = max(float(app.get("last_deployed_time_s") or 0), start)
    if before and all(before[key] == models[key] for key in models):
        since = max(start, before["since"])  # nothing was loaded anew but by new replicas
    elif before and since <= before["since"]:
        since = time.time()
    return {"since": since, **models}


def _end(part: str, held: Served, now: Mapping[str, Served]) -> float:
    """When a deployment was deployed anew, alone or with its application; else it is gone now."""
    if part in now:
        return float(now[part]["since"])
    anew = (other["since"] for other in now.values() if other["app"] == held["app"])
    return max((since for since in anew if since > held["since"]), default=time.time())


def _observation(
    cluster: Cluster, names: tuple[str, str], app: Mapping[str, Any], held: Served
) -> Observation:
    since, whole = held["since"] or None, held["app"]
    first = float(app.get("last_deployed_time_s") or 0) or None
    part = f"{whole}/{quote(names[1], safe='')}"
    edges, claims = _links(part, held)
    nodes = (
        Node(cluster.uri, "cluster", cluster.session),
        Node(whole, "deployment", names[0], {"route": str(app.get("route_prefix") or "")}, first),
        Node(part, "endpoint", "/".join(names), time=since),
        *(Node(uri, "model", uri.rstrip("/").rpartition("/")[2]) for uri in held["places"]),
    )
    edges = (
        Edge(cluster.uri, "PARENT_OF", whole, "recorded", _RULE),
        Edge(whole, "OUTPUT", part, "recorded", _RULE),
        *edges,
    )
    unknown = tuple(f"{part}: {text}" for text in held["runs"])
    return Observation(part, nodes, edges, unknown, claims=claims, time=since)


def _ended(part: str, held: Served, until: float) -> list[Observation]:
    """That what a deployment had is no longer on it."""
    edges, claims = _links(part, held, until)
    if not (edges or claims):
        return []
    return [Observation(part, edges=edges, claims=claims, time=until)]


def _links(
    part: str, held: Served, until: float | None = None
) -> tuple[tuple[Edge, ...], tuple[Claim, ...]]:
    """The models that a deployment has, by place and by name, and for how long."""
    since = held["since"] or None
    edges = (
        Edge(uri, "DERIVES", part, "recorded", _RULE, since=since, until=until)
        for uri in held["places"]
    )
    claims = (
        Claim(text, "DERIVES", part, "model-text", at=since, since=since, until=until)
        for text in held["texts"]
    )
    return tuple(edges), tuple(claims)


def _models(config: Any) -> dict[str, list[str]]:
    """What a `user_config` names: `models:/…` anywhere, else what stands under a model's key."""
    named = dict.fromkeys(
        text
        for key, text in _texts("", config)
        if MODEL_TEXT.fullmatch(text) or "model" in key.lower()
    )
    return {
        "texts": [text for text in named if MODEL_TEXT.fullmatch(text)],
        "places": list(dict.fromkeys(uri for text in named if (uri := _place(text)))),
        "runs": [text.partition("?")[0] for text in named if text.startswith("runs:/")],
    }


def _texts(key: str, value: Any) -> Iterator[tuple[str, str]]:
    """The texts in a `user_config`, each with its key, without those that may be secrets."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            if not is_secret(str(name)):
                yield from _texts(str(name), item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(key, item)
    elif isinstance(value, str):
        yield key, value.strip()


def _place(text: str) -> str:
    """The canonical URI of a file or object, without a query; empty where it is none."""
    if not _PLACES.fullmatch(text):
        return ""
    try:
        return canonical(text.partition("?")[0].partition("#")[0])
    except LineageError:
        return ""
