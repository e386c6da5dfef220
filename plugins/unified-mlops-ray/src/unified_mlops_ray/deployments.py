"""What stands in an endpoint's file: who is deployed, who was, and since when."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from unified_mlops.errors import ArgumentError, NotFoundError
from unified_mlops.lineage import urn
from unified_mlops.records import (
    Deployment,
    Edge,
    EndpointRecord,
    Level,
    ModelVersionRecord,
    Ref,
)

NEW = "0"

Held = dict[str, Any]
"""An endpoint's file: `name`, `next_id`, `deployments`, and `history` for those taken off."""


def empty(name: str) -> Held:
    """The file of an endpoint without models."""
    return {"name": name, "next_id": 1, "deployments": [], "history": []}


def record(held: Held, scope: str) -> EndpointRecord:
    """The endpoint as it stands; its edges are the models it has and had, with their times."""
    name = held["name"]
    return EndpointRecord(
        ref=Ref("ray", "endpoint", name, uri(scope, name)),
        edges=edges(held, scope, "declared"),
        name=name,
        deployments=tuple(
            Deployment(item["id"], Ref(**item["model"]), item["model_name"], item["traffic"])
            for item in held["deployments"]
        ),
    )


def edges(held: Held, scope: str, level: Level) -> tuple[Edge, ...]:
    """A model on the endpoint is so from when it was deployed up to when it was taken off."""
    target = uri(scope, held["name"])
    found = [
        Edge(
            source=item["model"]["uri"],
            kind="DERIVES",
            target=target,
            level=level,
            rule="ray.endpoint",
            since=item.get("since"),
            until=item.get("until"),
        )
        for item in [*held.get("history", ()), *held["deployments"]]
    ]
    return tuple(dict.fromkeys(found))


def deploy(held: Held, model: ModelVersionRecord, split: Mapping[str, int]) -> None:
    """Add a model version; in the split it is `"0"`.

    Raises:
        ArgumentError: the split is none of the deployments.
    """
    number = str(held["next_id"])
    traffic = {number if key == NEW else key: share for key, share in split.items()}
    ref = model.ref
    added = {
        "id": number,
        "traffic": 0,
        "since": time.time(),
        "model_name": model.name,
        "model_version": model.version,
        "model": {"plugin": ref.plugin, "kind": ref.kind, "id": ref.id, "uri": ref.uri},
    }
    held["deployments"] = _shared([*held["deployments"], added], traffic)
    held["next_id"] += 1


def undeploy(held: Held, deployment: str, split: Mapping[str, int]) -> None:
    """Move a deployment to the history.

    Raises:
        NotFoundError: there is none of that id.
        ArgumentError: the split is none of those that are left.
    """
    left = [item for item in held["deployments"] if item["id"] != deployment]
    gone = [item for item in held["deployments"] if item["id"] == deployment]
    if not gone:
        known = ", ".join(item["id"] for item in left) or "none"
        raise NotFoundError(
            f"endpoint {held['name']!r} has no deployment {deployment!r} (there is: {known})",
            hint="see endpoint.traffic_split",
        )
    held["deployments"] = _shared(left, split)
    ended = [{**item, "traffic": 0, "until": time.time()} for item in gone]
    held["history"] = [*held.get("history", ()), *ended]


def scope(folder: Path) -> str:
    """The URN of a folder of endpoints: an endpoint's name is its own only there."""
    place = urn.canonical(folder.absolute())
    return f"ray://local-{hashlib.sha256(place.encode()).hexdigest()[:12]}"


def uri(scope: str, name: str) -> str:
    """The URN of an endpoint in the process that asks it.

    Args:
        scope: of its folder.
        name: its name.
    """
    return f"{scope}/serve/{quote(name)}"


def _shared(deployments: list[Held], split: Mapping[str, int]) -> list[Held]:
    """The deployments with their new traffic; one that the split leaves out gets none."""
    known = [item["id"] for item in deployments]
    whole = all(type(share) is int and 0 <= share <= 100 for share in split.values())
    total = 100 if deployments else 0
    if not whole or not set(split) <= set(known) or sum(split.values()) != total:
        raise ArgumentError(
            f"{dict(split)!r} is no traffic split of the deployments {known!r}",
            hint='give whole percentages that sum to 100, for example {"0": 100} to a first model',
        )
    return [{**item, "traffic": split.get(item["id"], 0)} for item in deployments]
